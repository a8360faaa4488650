"""Packed weights: small, exact, and never silently broken."""

from __future__ import annotations

import gc
import os
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from detkit.checkpoint import bundle
from detkit.checkpoint.reader import open_checkpoint
from detkit.errors import CheckpointError

KEYS = st.text("abc/:_-0189", min_size=1, max_size=12)
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, max_side=5)
VALUES = arrays.arrays(st.sampled_from([np.float32, np.float64, np.int64]), SHAPES)


def same(a, b) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@given(st.dictionaries(KEYS, VALUES, max_size=4))
@settings(max_examples=60, deadline=None)
def test_round_trip(tmp_path_factory, tensors):
    path = tmp_path_factory.mktemp("bundle") / "weights.npz"
    bundle.write(path, tensors)
    found = bundle.read(path)
    assert found.keys() == tensors.keys()
    assert all(same(found[key], tensors[key]) for key in tensors)


@pytest.mark.parametrize("levels", [1, 2, 255, 256, 257, 1000])
def test_round_trip_of_quantised_weights(tmp_path, levels):
    table = np.random.default_rng(0).standard_normal(levels).astype(np.float32)
    value = table[np.random.default_rng(1).integers(0, levels, (40, 3, 50))]
    bundle.write(tmp_path / "w.npz", {"kernel": value})
    assert same(bundle.read(tmp_path / "w.npz")["kernel"], value)


def test_quantised_weights_take_a_byte_each(tmp_path):
    value = np.random.default_rng(0).integers(0, 256, (100, 1000)).astype(np.float32) / 7
    bundle.write(tmp_path / "w.npz", {"kernel": value})
    assert (tmp_path / "w.npz").stat().st_size < 1.1 * value.size


@pytest.mark.parametrize(
    "special", [-0.0, np.nan, np.inf]
)
def test_special_values_survive(tmp_path, special):
    value = np.zeros(2000, np.float32)
    value[7] = special
    bundle.write(tmp_path / "w.npz", {"kernel": value})
    assert same(bundle.read(tmp_path / "w.npz")["kernel"], value)


def truncated(path, share):
    """A bundle of which only a share of the bytes is left."""
    bundle.write(path, {"kernel": np.random.default_rng(0).random(5000)})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    return path


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_a_truncated_file_is_named(tmp_path, share):
    path = truncated(tmp_path / "weights.npz", share)
    try:
        with pytest.raises(CheckpointError) as error:
            bundle.read(path)
    finally:
        gc.collect()  # numpy's own file object, see below
    for part in ("can't be read", str(path), "fix:"):
        assert part in str(error.value)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_truncated_file_is_closed(tmp_path):
    path = truncated(tmp_path / "weights.npz", 0.5)
    before = open_files(path)
    with pytest.raises(CheckpointError) as error:
        bundle.read(path)
    found = open_files(path)
    del error
    gc.collect()
    assert before == 0 and found == 0


def open_files(path) -> int:
    """How many file descriptors of this process point to a path."""
    links = [os.path.join("/proc/self/fd", number) for number in os.listdir("/proc/self/fd")]
    return sum(os.path.exists(link) and os.path.realpath(link) == str(path) for link in links)


def test_a_damaged_byte_is_noticed(tmp_path):
    path = tmp_path / "weights.npz"
    bundle.write(path, {"kernel": np.random.default_rng(0).random(5000)})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="can't be read"):
        bundle.read(path)


def test_pickles_are_not_read(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, **{"kernel:value": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(CheckpointError, match="can't be read"):
        bundle.read(path)


def test_bundled_model_is_small_and_complete():
    from detkit.zoo.source import locate

    path = locate("hands").checkpoint / "weights.npz"
    assert path.stat().st_size < 5_000_000
    assert zipfile.is_zipfile(path)
    assert len(open_checkpoint(path).model_keys) == 384
    assert "MIT License" in (path.parent / "LICENSE.txt").read_text()

"""Whatever an annotation file holds, reading gives a dataset or a DataError: thousands of damaged files.

`python tests/data/fuzzing.py 20000` tries as many as that, with little memory.
"""

from __future__ import annotations

import pytest
from fuzzing import PATHS, Fuzzer

from detkit.data import formats


@pytest.mark.parametrize("name", PATHS)
def test_some_damaged_files(name, tmp_path):
    fuzzer = Fuzzer(name, tmp_path, seed=0)
    read = [fuzzer.attempt() for _ in range(60)]
    assert True in read and False in read  # else nothing was damaged, or everything


@pytest.mark.slow
@pytest.mark.parametrize("name", PATHS)
def test_many_damaged_files(name, tmp_path):
    fuzzer = Fuzzer(name, tmp_path, seed=1)
    assert 0 < sum(fuzzer.attempt() for _ in range(2500)) < 2500


def test_every_format_is_tried():
    assert set(PATHS) == set(formats.NAMES)

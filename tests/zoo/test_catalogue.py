from __future__ import annotations

import re
from pathlib import Path

import pytest

from detkit.errors import ConfigError
from detkit.zoo import entries, find


def test_hands_is_first_and_bundled():
    hands = entries()[0]
    assert (hands.name, hands.bundled, hands.input_size, hands.classes) == ("hands", True, (320, 320), 7)
    assert hands.address is None and hands.box_map is None and hands.buildable


def test_the_catalogue_holds_the_whole_zoo():
    assert len(entries()) == 44
    assert len({entry.name for entry in entries()}) == 44
    families = [entry.family for entry in entries() if not entry.bundled]
    counted = {family: families.count(family) for family in families}
    assert counted == {
        "ssd": 10,
        "efficientdet": 8,
        "centernet": 11,
        "faster_rcnn": 11,
        "mask_rcnn": 1,
        "extremenet": 2,
    }


def test_every_reference_architecture_has_its_name(shared):
    configs = {path.stem for path in (shared / "golden" / "configs").glob("*.config")}
    # A second reading of one zoo model, which has no archive of its own.
    configs.remove("centernet_mobilenetv2fpn_512x512_od__densefpn")
    assert configs <= {entry.name for entry in entries()}


def test_class_counts_are_those_of_the_configs(shared):
    for entry in entries():
        path = shared / "golden" / "configs" / f"{entry.name}.config"
        if path.exists():
            assert entry.classes == int(re.search(r"num_classes: *(\d+)", path.read_text())[1]), entry.name


@pytest.mark.parametrize(
    ("name", "box_map", "keypoint_map", "speed_ms"),
    [
        ("ssd_mobilenet_v2_fpnlite_320x320", 22.2, None, 22),
        ("ssd_resnet152_v1_fpn_1024x1024", 39.6, None, 111),
        ("efficientdet_d7", 51.2, None, 325),
        ("centernet_hg104_1024x1024_kpts", 42.8, 64.5, 211),
        ("centernet_mobilenetv2fpn_512x512_kpts", None, 41.7, 6),
    ],
)
def test_published_figures(name, box_map, keypoint_map, speed_ms):
    entry = find(name)
    assert (entry.box_map, entry.keypoint_map, entry.speed_ms) == (box_map, keypoint_map, speed_ms)


def test_sizes_agree_with_the_names_that_state_them():
    for entry in entries():
        if found := re.search(r"(\d+)x(\d+)", entry.name):
            assert entry.input_size == (int(found[1]), int(found[2]))


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8", "ssd_mobilenet_v2_fpnlite_320x320"),
        ("efficientdet_d0_coco17_tpu-32.tar.gz", "efficientdet_d0"),
        ("mask_rcnn_inception_resnet_v2_1024x1024_coco17_gpu-8", "mask_rcnn_inception_resnet_v2"),
        ("mask_rcnn_inception_resnet_v2_1024x1024", "mask_rcnn_inception_resnet_v2"),
        ("extremenet", "extremenet"),  # also the archive name of the deprecated one
    ],
)
def test_archive_names_are_aliases(alias, name):
    assert find(alias).name == name


def test_addresses_are_the_published_ones():
    assert find("centernet_hg104_512x512").address == (
        "http://download.tensorflow.org/models/object_detection/tf2/20200713/"
        "centernet_hg104_512x512_coco17_tpu-8.tar.gz"
    )
    addresses = [entry.address for entry in entries() if not entry.bundled]
    assert len(set(addresses)) == 43


def test_an_unknown_name_gets_the_nearest_ones():
    with pytest.raises(ConfigError, match="No model has the name 'ssd_mobilnet_v2_fpnlite_320'") as caught:
        find("ssd_mobilnet_v2_fpnlite_320")
    assert "perhaps ssd_mobilenet_v2_fpnlite_320x320" in str(caught.value)
    assert "detkit zoo list" in str(caught.value)


def test_a_name_like_no_other_gets_no_guess():
    with pytest.raises(ConfigError) as caught:
        find("???")
    assert caught.value.expected is None


def test_unbuildable_architectures_say_so_by_name():
    with pytest.raises(ConfigError) as caught:
        find("extremenet").check_buildable()
    text = str(caught.value)
    assert "extremenet can't be built: detkit has no extremenet detector." in text
    assert "expected: a model of another family: ssd, efficientdet, centernet, faster_rcnn, mask_rcnn" in text


def test_buildable_architectures_pass():
    names = [entry.name for entry in entries() if entry.buildable]
    assert len(names) == 42
    assert [find(name).check_buildable().name for name in names] == names


def test_the_page_of_models_lists_what_can_be_built():
    page = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    listed = [[cell.strip() for cell in row.split("|")[1:-1]] for row in page.splitlines() if row.startswith("| `")]
    figures = {cells[0].strip("`"): cells[1:] for cells in listed if re.fullmatch(r"\d+ x \d+", cells[1])}
    assert figures == {
        entry.name: ["{} x {}".format(*entry.input_size)]
        + [str(score or "") for score in (entry.box_map, entry.keypoint_map, entry.mask_map)]
        for entry in entries()
        if entry.buildable and not entry.bundled
    }

"""TFRecord files, without TensorFlow."""

from __future__ import annotations

import io
import struct
import subprocess
import sys

import numpy as np
import pytest
from data_files import picture
from fuzzing import bomb
from PIL import Image

from detkit import data
from detkit.data.formats import mask_files, records, tfrecord_write, wire
from detkit.data.formats.extract import save_pictures
from detkit.errors import DataError, MediaError


def jpeg(size=(60, 80), format="JPEG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size[::-1], "red").save(file, format)
    return file.getvalue()


def values(**changes) -> dict:
    """The features of a picture with one box; a change of a_b is one of image/a/b or image/object/a/b."""
    found = {
        "image/encoded": [jpeg()],
        "image/filename": [b"1.jpg"],
        "image/height": [60],
        "image/width": [80],
        "image/object/bbox/xmin": [0.1],
        "image/object/bbox/ymin": [0.2],
        "image/object/bbox/xmax": [0.6],
        "image/object/bbox/ymax": [0.7],
        "image/object/class/text": [b"duck"],
        "image/object/class/label": [7],
    }
    names = {key.rpartition("/")[2]: key for key in found} | {
        name: f"image/object/{name}" for name in ("mask", "is_crowd", "group_of", "difficult", "area")
    }
    return found | {names[name]: value for name, value in changes.items()}


@pytest.fixture
def record(tmp_path):
    """A function that writes a file of features, or of records as they are."""

    def build(*examples, name="train.record"):
        whole = (example if isinstance(example, bytes) else wire.encode(example) for example in examples)
        records.write(tmp_path / name, whole)
        return tmp_path / name

    return build


def test_the_checksum_is_crc32c():
    assert records.crc32c(b"123456789") == 0xE3069283  # the check value of RFC 3720's polynomial
    content = np.random.default_rng(0).integers(0, 256, 3000, np.uint8).tobytes()
    plain = [_bit_by_bit(content[:n]) for n in (0, 1, 3, 4, 511, 512, 513, 515, 516, 1024, 1027, 3000)]
    assert [records.crc32c(content[:n]) for n in (0, 1, 3, 4, 511, 512, 513, 515, 516, 1024, 1027, 3000)] == plain


def _bit_by_bit(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_boxes_classes_and_flags(record):
    flags = dict(is_crowd=[1], difficult=[1], area=[900.5])
    path = record(values(**flags), values(group_of=[1], text=[b"boat"], label=[3]), {"image/encoded": [jpeg()]})
    dataset = data.read(path)
    assert dataset.classes == ("boat", "duck") and dataset.label_ids == (3, 7) and dataset.problems == ()
    first, second, third = dataset
    np.testing.assert_allclose(first.boxes, [[0.2, 0.1, 0.7, 0.6]], rtol=1e-6)
    assert first.crowd.all() and first.difficult.all() and first.area == [900.5] and second.crowd.all()
    assert len(third) == 0 and third.size == (60, 80)
    assert first.image.name == "1.jpg" and third.image.name == "train_record_2"
    assert first.source == f"{path}, record 0" and first.label == f"{path}, picture 1.jpg"
    assert first.pixels().shape == (60, 80, 3) and first.image.read() == jpeg()
    assert "The same picture is there twice." in [problem.what for problem in data.check(path.parent)]


def test_a_picture_that_is_gone_is_an_error_when_it_is_asked_for(record):
    path = record(values())
    (example,) = data.read(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(MediaError, match="The file that holds this picture has changed(.|\n)*picture 1.jpg"):
        example.pixels()
    path.unlink()
    with pytest.raises(MediaError, match="[Nn]o such file"):
        example.pixels()


def test_pictures_beside_the_records(record, tmp_path):
    picture(tmp_path / "images/1.jpg")
    dataset = data.read(record(values(encoded=[b""])))
    assert dataset[0].image == tmp_path / "images/1.jpg"
    with pytest.raises(DataError, match="A picture is missing(.|\n)*9.jpg"):
        data.read(record(values(encoded=[], filename=[b"9.jpg"])))


LABEL_MAP = 'item { id: 7 name: "duck" }\nitem { id: 9 name: "frog" }\n'


def test_a_label_map_beside_the_records(record, tmp_path):
    (tmp_path / "label_map.pbtxt").write_text(LABEL_MAP)
    for text in ([b"duck"], []):
        dataset = data.read(record(values(text=text)))
        assert dataset.classes == ("duck", "frog") and dataset.label_ids == (7, 9) and dataset.problems == ()
    for change, what in [
        (dict(label=[9]), "The records number a class otherwise than the label map; its name was believed."),
        (dict(text=[b"goose"]), "The records name a class otherwise than the label map; its number was believed."),
    ]:
        (found,) = (dataset := data.read(record(values(**change)))).problems
        assert (found.severity, found.what) == ("warning", what) and dataset[0].class_ids == [0]
    with pytest.raises(DataError, match="not in the label map(.|\n)*'goose', number 5"):
        data.read(record(values(label=[5], text=[b"goose"])))


def test_a_label_map_elsewhere(record, tmp_path):
    path = record(values(text=[]))
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps/ducks.txt").write_text(LABEL_MAP)
    dataset = data.read(path, label_map=tmp_path / "maps/ducks.txt")
    assert dataset.classes == ("duck", "frog") and dataset.label_ids == (7, 9)
    with pytest.raises(DataError, match="[Nn]o such file"):
        data.read(path, label_map=tmp_path / "maps/no.txt")


def test_several_files(record, tmp_path):
    paths = [record(values(), name=name) for name in ("b.record", "a.record", "c.record-00000-of-00001")]
    listed = f"{paths[0]}, {paths[1]},{tmp_path}/c.record@1"
    assert [example.source.split(",")[0] for example in data.read(listed)] == [str(path) for path in paths]
    with pytest.raises(DataError, match="no dataset here"):
        data.read(f"{paths[0]},{tmp_path}/d.record")
    with pytest.raises(DataError, match="no TFRecord files here(.|\n)*d.record"):
        data.read(f"{paths[0]},{tmp_path}/d.record", "tfrecord")


def test_labels_of_whole_pictures(record):
    labels = {"image/class/text": [b"boat", b"duck"], "image/class/label": [3, 7]}
    dataset = data.read(record(values() | labels, values(), values() | {"image/class/text": [b"boat"]}))
    assert dataset.classes == ("boat", "duck")
    assert [example.image_labels.tolist() for example in dataset] == [[0, 1], [], [0]]
    broken = record(values() | labels | {"image/class/label": [3]})
    with pytest.raises(DataError, match="labels of a picture have lists of different lengths(.|\n)*1 numbers, 2 texts"):
        data.read(broken)
    with pytest.raises(DataError, match="don't name them(.|\n)*got: numbers 3"):
        data.read(record(values() | {"image/class/label": [3]}))


def test_classes_without_names(record):
    path = record(values(text=[]))
    with pytest.raises(DataError, match="number their classes, but don't name them(.|\n)*label_map.pbtxt"):
        data.read(path)
    assert data.read(path, strict=False).classes == ("7",)


def test_classes_without_names_may_be_called_by_their_numbers(record):
    path = record(values(text=[]))
    dataset = data.read(path, label_map="numbers")
    assert (dataset.classes, dataset.label_ids, dataset.problems) == (("class 7",), (7,), ())
    (path.parent / "label_map.pbtxt").write_text("item { id: 7 name: 'boat' }\n")
    assert data.read(path, label_map="numbers").classes == ("boat",)


def test_masks_as_png_and_as_numbers(record):
    inside = np.zeros((60, 80), np.uint8)
    inside[12:42, 8:48] = 1
    weights = {"image/object/mask/weight": [0.0]}
    plain = inside.ravel().astype(float).tolist()
    path = record(values(mask=[mask_files.png(inside)]), values(mask=plain), values(mask=plain) | weights)
    first, second, third = data.read(path)
    np.testing.assert_array_equal(first.masks()[0], inside)
    np.testing.assert_array_equal(second.masks()[0], inside)
    assert third.segmentations is None


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (dict(xmin=[]), "The lists of a record have different lengths."),
        (dict(text=[b"a", b"b"], label=[]), "The lists of a record have different lengths."),
        (dict(text=[], label=[float("inf")]), "The lists of a record have different lengths."),
        (dict(text=[], label=[]), "The lists of a record have different lengths."),
        (dict(xmin=[0.9]), "The corners of a box are swapped."),
        (dict(xmin=[float("nan")]), "A box has a coordinate that is not a finite number."),
        (dict(ymax=[0.2]), "A box has no area."),
        (dict(xmin=[3.0], xmax=[4.0]), "A box lies outside its image."),
        (dict(mask=[b"x"]), "A mask can't be decoded."),
        (dict(mask=[b"x", b"y"]), "A record has another number of masks than boxes."),
        (dict(mask=[1.0] * 9), "The masks of a record don't fit its picture."),
        (dict(mask=[bomb(50_000)]), "A mask has another size than its picture."),
        (dict(encoded=[b"GIF89a"], height=[0]), "lacks the picture's size"),
    ],
)
def test_a_bad_record_is_refused_or_left_out(record, change, what):
    path = record(values(), values(**change))
    with pytest.raises(DataError, match=what):
        data.read(path)
    found = data.read(path, strict=False)
    assert sum(map(len, found)) == 1 and found.problems
    assert all(f"{path}, record 1" in problem.where for problem in found.problems)


def test_a_picture_that_would_fill_the_memory_is_not_decoded(record):
    (example,) = data.read(record(values(height=[50_000], width=[50_000], encoded=[bomb(50_000)])))
    with pytest.raises(MediaError, match="too large"):
        example.pixels()


def test_keypoints_are_passed_over_and_that_is_said(record):
    points = {"image/object/keypoint/x": [0.1, 0.2]}
    (found,) = data.read(record(values() | points, values() | points)).problems
    assert found.severity == "info" and "Keypoints" in found.what


def test_bytes_that_are_no_example(record):
    good = wire.encode(values())
    path = record(good, b"\xff" * 12, good[:50], b"\x0a\xff\xff\xff\xff\x0f")
    found = data.read(path, strict=False)
    assert [problem.file for problem in found.problems if "can't be read" in problem.what] == [
        f"{path}, record {number}" for number in (1, 2, 3)
    ]
    assert sum(map(len, found)) == 1


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda c: c[:-7], "This TFRecord file is cut short."),
        (lambda c: c + b"abc", "This TFRecord file is cut short."),
        (lambda c: c[:40] + b"?" + c[41:], "A record of this TFRecord file is damaged."),
        (lambda c: c + struct.pack("<QI", 10**9, 0), "A record of this TFRecord file is damaged."),
        (lambda c: c + (n := struct.pack("<Q", 10**18)) + struct.pack("<I", records._masked(n)), "is cut short."),
    ],
)
def test_damaged_files_are_refused(record, damage, what):
    path = record(values())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=what):
        data.read(path)


def test_what_is_not_a_tfrecord_file(tmp_path):
    (tmp_path / "a.record").write_bytes(b"\x1f\x8b" + bytes(30))
    with pytest.raises(DataError, match="not tfrecord: it is compressed with gzip"):
        data.read(tmp_path / "a.record")


def test_shards(record, tmp_path):
    whole = data.read(record(*(values(filename=[b"%d.jpg" % n]) for n in range(5))))
    data.write(whole, tmp_path / "out/train.record@3", "tfrecord")
    names = sorted(file.name for file in (tmp_path / "out").glob("*.record*"))
    assert names == [f"train.record-0000{n}-of-00003" for n in range(3)]
    for name in ("", "train.record@3", "train.record-?????-of-00003"):
        assert [example.image.name for example in data.read(tmp_path / "out" / name)] == [f"{n}.jpg" for n in range(5)]
    (tmp_path / "out" / names[1]).unlink()
    data.write(whole, tmp_path / "out/val.record", "tfrecord")
    with pytest.raises(DataError, match="several sets of records(.|\n)*got: train.record, val.record"):
        data.read(tmp_path / "out")
    (tmp_path / "out/val.record").unlink()
    with pytest.raises(DataError, match="Shards are missing(.|\n)*got: 2\n  expected: 3"):
        data.read(tmp_path / "out")


def test_pictures_are_kept_byte_for_byte_unless_they_must_be_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (30, 20)).save(tmp_path / "plain.webp", lossless=True)
    picture(tmp_path / "as_is.jpg", (20, 30))
    sizes = {"turned.jpg": (30, 20), "plain.webp": (20, 30), "as_is.jpg": (20, 30)}
    dataset = data.Dataset(tuple(data.Example(tmp_path / n, [], [], s) for n, s in sizes.items()), ("duck",))
    data.write(dataset, tmp_path / "a.record", "tfrecord")
    turned, plain, as_is = data.read(tmp_path / "a.record")
    assert as_is.image.read() == (tmp_path / "as_is.jpg").read_bytes()
    assert turned.image.read()[:4] == plain.image.read()[:4] == b"\x89PNG"
    for old, new in zip(dataset, (turned, plain, as_is), strict=True):
        np.testing.assert_array_equal(new.pixels(), old.pixels())


def test_a_label_map_is_not_replaced_by_another(tmp_path):
    data.write(data.Dataset((), ("duck",)), tmp_path / "a.record", "tfrecord")
    data.write(data.Dataset((), ("duck",)), tmp_path / "b.record", "tfrecord")
    with pytest.raises(DataError, match="another label map here(.|\n)*got: duck\n  expected: boat"):
        data.write(data.Dataset((), ("boat",)), tmp_path / "c.record", "tfrecord")


def test_pictures_inside_are_saved_under_safe_names(record, tmp_path):
    odd = [b"../../x.jpg", b"a/x.jpg", b"x.png", b"", b"a:b?.jpg", b"C:\\photos\\y.jpg"]
    dataset = data.read(record(*(values(filename=[name]) for name in odd)))
    saved = save_pictures(dataset, tmp_path / "out")
    names = [example.image.name for example in saved]
    assert names == ["x.jpg", "x_2.jpg", "x_3.jpg", "train_record_3.jpg", "a_b_.jpg", "y.jpg"]
    assert all(example.image.parent == tmp_path / "out" for example in saved)
    assert saved[0].image.read_bytes() == jpeg()
    save_pictures(dataset, tmp_path / "out")
    picture(tmp_path / "out/y.jpg", seed=3)
    with pytest.raises(DataError, match="another picture of this name(.|\n)*y.jpg"):
        save_pictures(dataset, tmp_path / "out")
    with pytest.raises(DataError, match="has no file(.|\n)*got: a picture inside another file"):
        data.write(dataset, tmp_path / "a.json", "coco")


@pytest.mark.slow
def test_tensorflow_reads_what_is_written_and_writes_what_is_read(tmp_path):
    import tensorflow as tf

    path = tmp_path / "a.record"
    listed = values(label=[-3, 2**40], xmin=[0.1, 0.5], text=[b"", b"d\xc3\xbcck"])
    records.write(path, [wire.encode(listed), b""])
    first, second = (tf.train.Example.FromString(raw.numpy()) for raw in tf.data.TFRecordDataset(str(path)))
    assert not second.features.feature and set(first.features.feature) == set(listed)
    for key, wanted in listed.items():
        kind = first.features.feature[key].WhichOneof("kind")
        got = list(getattr(first.features.feature[key], kind).value)
        assert got == (np.float32(wanted).tolist() if kind == "float_list" else wanted)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(first.SerializeToString())
    view = records.opened(path)
    (span,) = records.spans(view, path)
    got = wire.features(view, span, {"image/object/class/label", "image/object/class/text", "image/object/bbox/xmin"})
    assert got["image/object/class/label"].tolist() == [-3, 2**40]
    assert [bytes(view[slice(*s)]) for s in got["image/object/class/text"]] == [b"", b"d\xc3\xbcck"]
    np.testing.assert_array_equal(got["image/object/bbox/xmin"], np.float32([0.1, 0.5]))


def test_lists_that_are_not_packed():
    floats = b"".join(wire._number(1 << 3 | 5) + struct.pack("<f", value) for value in (0.5, 2))
    ints = b"".join(wire._number(1 << 3) + wire._number(value) for value in (7, -1))
    entry = lambda key, number, content: wire._field(  # noqa: E731
        1, wire._field(1, key) + wire._field(2, wire._field(number, content))
    )
    raw = memoryview(wire._field(1, entry(b"f", 2, floats) + entry(b"i", 3, ints) + entry(b"other", 3, ints)))
    found = wire.features(raw, (0, len(raw)), {"f", "i"})
    assert found["f"].tolist() == [0.5, 2] and found["i"].tolist() == [7, -1] and set(found) == {"f", "i"}


def test_no_tensorflow_is_imported(record):
    code = f"import sys; from detkit import data; data.read({str(record(values()))!r})[0].pixels()"
    code += "; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_real_records(shared):
    pets = data.read(shared / "data/od_extras/test_data/pets_examples.record")
    assert len(pets) == sum(map(len, pets)) == 10 and pets.label_ids[0] == 11 and pets.classes[0] == "chihuahua"
    assert data.check(pets) == []
    frames = data.read(shared / "data/od_extras/test_data/snapshot_serengeti_sequence_examples.record")
    assert [len(example) for example in frames] == [1, 0, 2, 0, 0, 0, 1, 1, 0, 1]
    assert frames.classes == ("gazelleThomsons", "warthog", "elephant", "hippopotamus")
    # Pictures without boxes, and shots of one scene.
    assert [problem.severity for problem in data.check(frames)] == ["info", "info"]


def test_the_same_boxes_as_in_xml(shared):
    folder = shared / "data/raccoon"
    by_name = {example.image.name: example for example in data.read(folder)}
    found = data.read(folder / "data/test.record")
    assert len(found) == 40 and sum(map(len, found)) == 44
    for example in found:
        wanted = by_name[example.image.name]
        assert example.size == wanted.size
        np.testing.assert_allclose(np.sort(example.boxes, 0), np.sort(wanted.boxes, 0), atol=1e-6)


def test_an_array_is_written_as_png(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    content, kind = tfrecord_write.picture_bytes(data.Example(pixels, [], [], (6, 8)))
    assert kind == "png"
    data.write(data.Dataset((data.Example(pixels, [], [], (6, 8)),), ("a",)), tmp_path / "a.record", "tfrecord")
    np.testing.assert_array_equal(data.read(tmp_path / "a.record")[0].pixels(), pixels)

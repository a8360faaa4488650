"""Writing TFRecord files for the OD API: pictures inside, masks as PNG, a label map beside."""

from __future__ import annotations

import hashlib
import re
from itertools import islice
from pathlib import Path

import numpy as np

from detkit import masks
from detkit.data import images
from detkit.data.dataset import Dataset
from detkit.data.encoded import EncodedImage
from detkit.data.example import Example
from detkit.data.formats import mask_files, records, tfrecord_classes, wire
from detkit.data.formats.assemble import segmentation_of
from detkit.errors import MediaError
from detkit.io import unreadable
from detkit.progress import progress

_FORMATS = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png"}


def write(data: Dataset, path) -> None:
    """Write a dataset as a TFRecord file, or as N shards for a path that ends in @N, and label_map.pbtxt beside it.

    Upright JPEG and PNG files go in as they are; others as PNG. Masks are written as PNG.

    Raises:
        MediaError: if a picture can't be read.
        DataError: if there is another label map in the folder.
        ConfigError: if the files can't be written.
    """
    path = Path(path)
    tfrecord_classes.write(path.parent / "label_map.pbtxt", data.classes, data.label_ids)
    sharded = re.fullmatch(r"(.+)@(\d{1,4})", path.name)
    count = max(int(sharded[2]), 1) if sharded else 1
    examples = iter(progress(data.examples, description="records"))
    for shard in range(count):
        file = path.with_name(f"{sharded[1]}-{shard:05}-of-{count:05}") if sharded else path
        own = islice(examples, len(data) * (shard + 1) // count - len(data) * shard // count)
        records.write(file, (wire.encode(_features(example, data)) for example in own))


def picture_bytes(example: Example) -> tuple[bytes, str]:
    """An upright picture as the bytes of a JPEG or PNG file, and which of them; MediaError if it can't be read."""
    image = example.image
    if not isinstance(image, np.ndarray):
        try:
            content = image.read() if isinstance(image, EncodedImage) else image.read_bytes()
        except OSError as error:
            raise MediaError("Can't open this picture.", **unreadable(image, error)) from error
        kind = next((name for start, name in _FORMATS.items() if content.startswith(start)), None)
        if kind and images.stored_size(content)[1] == 1:
            return content, kind
    return mask_files.png(example.pixels()), "png"


def _features(example: Example, data: Dataset) -> dict[str, list]:
    """{feature key: values} of an example."""
    content, kind = picture_bytes(example)
    name = "" if isinstance(example.image, np.ndarray) else example.image.name
    top, left, bottom, right = example.boxes.T.tolist() if len(example) else ([], [], [], [])
    values = {
        "image/encoded": [content],
        "image/format": [kind.encode()],
        "image/key/sha256": [hashlib.sha256(content).hexdigest().encode()],
        "image/filename": [name.encode()],
        "image/source_id": [str(example.image_id).encode()],
        "image/height": [example.size[0]],
        "image/width": [example.size[1]],
        "image/object/bbox/ymin": top,
        "image/object/bbox/xmin": left,
        "image/object/bbox/ymax": bottom,
        "image/object/bbox/xmax": right,
        "image/object/class/text": [data.classes[i].encode() for i in example.class_ids],
        "image/object/class/label": [int(data.label_ids[i]) for i in example.class_ids],
        "image/object/is_crowd": example.crowd.astype(int).tolist(),
        "image/object/difficult": example.difficult.astype(int).tolist(),
    }
    if np.isfinite(example.area).any():
        values["image/object/area"] = example.area.tolist()
    if example.image_labels.size:
        values["image/class/text"] = [data.classes[i].encode() for i in example.image_labels]
        values["image/class/label"] = [int(data.label_ids[i]) for i in example.image_labels]
    return values | _masks(example)


def _masks(example: Example) -> dict[str, list]:
    """Masks, and weights of zero for objects without one; nothing if no object has one."""
    given = [segmentation_of(example, i) for i in range(len(example))]
    if all(each is None for each in given):
        return {}
    empty = np.zeros(example.size, bool)
    planes = (empty if each is None else masks.decode(each, example.size) for each in given)
    return {
        "image/object/mask": [mask_files.png(plane.astype(np.uint8)) for plane in planes],
        "image/object/mask/weight": [float(each is not None) for each in given],
    }

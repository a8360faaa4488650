"""What can be loaded by name: the bundled `hands` and the TF2 Detection Model Zoo.

`catalogue.csv` repeats the figures that the zoo's own page publishes
(github.com/tensorflow/models, research/object_detection/g3doc/tf2_detection_zoo.md).
"""

from __future__ import annotations

import csv
import difflib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from detkit.errors import ConfigError

BASE_ADDRESS = "http://download.tensorflow.org/models/object_detection/tf2"
NOT_BUILT = ("extremenet",)  # families that detkit lists but can't build


@dataclass(frozen=True)
class Entry:
    """One model that has a name; what its publisher does not state is None.

    Args:
        name: detkit's short name.
        title: the name on the zoo's page.
        family: the kind of detector: ssd, efficientdet, centernet, faster_rcnn, mask_rcnn, extremenet.
        input_size: (height, width) in pixels as the zoo's page states it. Two models' own pipeline.config
            says otherwise, and that is what they run at: 300x300 for ssd_mobilenet_v2_320x320,
            1408x1408 for efficientdet_d6.
        classes: the number of classes in pipeline.config; COCO's label map leaves gaps in its 90.
        box_map: published COCO 2017 box mAP, in percent.
        keypoint_map: published COCO 2017 keypoint mAP, in percent.
        mask_map: published COCO 2017 mask mAP, in percent.
        speed_ms: published milliseconds an image, on the publisher's hardware.
        date: the archive's folder in the zoo; empty for a bundled model.
        archive: the archive's name without .tar.gz; empty for a bundled model.
    """

    name: str
    title: str
    family: str
    input_size: tuple[int, int] | None
    classes: int | None
    box_map: float | None
    keypoint_map: float | None
    mask_map: float | None
    speed_ms: int | None
    date: str
    archive: str

    @property
    def bundled(self) -> bool:
        """Whether the model comes with detkit."""
        return not self.archive

    @property
    def buildable(self) -> bool:
        """Whether detkit can build this architecture."""
        return self.family not in NOT_BUILT

    @property
    def archive_path(self) -> str | None:
        """Where the archive lies below the zoo's base address, a mirror or the cache."""
        return None if self.bundled else f"{self.date}/{self.archive}.tar.gz"

    @property
    def address(self) -> str | None:
        """The archive's public address; None for a bundled model."""
        return None if self.bundled else f"{BASE_ADDRESS}/{self.archive_path}"

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names that find this entry: the archive's, whole and without its training suffix."""
        shorter = re.sub(r"_coco17(_[tg]pu-\d+)?", "", self.archive)
        return tuple(alias for alias in (self.archive, shorter) if alias and alias != self.name)

    def check_buildable(self) -> Entry:
        """Returns the entry itself, or raises ConfigError where detkit can't build the architecture."""
        if self.buildable:
            return self
        raise ConfigError(
            f"{self.name} can't be built: detkit has no {self.family} detector.",
            expected="a model of another family: "
            + ", ".join(dict.fromkeys(entry.family for entry in entries() if entry.buildable)),
            fix="Choose one that `detkit zoo list` marks as built.",
        )


@cache
def entries() -> tuple[Entry, ...]:
    """All models that have a name, the bundled one first."""
    text = resources.files(__package__).joinpath("catalogue.csv").read_text(encoding="utf-8")
    return tuple(_entry(row) for row in csv.DictReader(text.splitlines()))


def find(name: str) -> Entry:
    """The entry of a short name or a full archive name (with or without .tar.gz).

    Raises:
        ConfigError: no model has that name; the message gives the nearest names.

    Example:
        >>> find("ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8").name
        'ssd_mobilenet_v2_fpnlite_320x320'
    """
    names = _names()
    if (entry := names.get(name.removesuffix(".tar.gz"))) is not None:
        return entry
    near = dict.fromkeys(names[key].name for key in difflib.get_close_matches(name, names, n=5))
    raise ConfigError(
        f"No model has the name {name!r}.",
        expected="perhaps " + ", ".join(near) if near else None,
        fix="`detkit zoo list` shows all names; a model of your own is given as a path to its directory.",
    )


@cache
def _names() -> dict[str, Entry]:
    aliases = {alias: entry for entry in entries() for alias in entry.aliases}
    return aliases | {entry.name: entry for entry in entries()}


def _entry(row: dict[str, str]) -> Entry:
    def number(column: str, kind=float):
        return kind(row[column]) if row[column] else None

    return Entry(
        name=row["name"],
        title=row["title"],
        family=row["family"],
        input_size=(int(row["height"]), int(row["width"])) if row["height"] else None,
        classes=number("classes", int),
        box_map=number("box_map"),
        keypoint_map=number("keypoint_map"),
        mask_map=number("mask_map"),
        speed_ms=number("speed_ms", int),
        date=row["date"],
        archive=row["archive"],
    )

"""The options of a prediction run: the one source of the command line's flags and the API's arguments.

The fields' metadata beyond `detkit.pipeline.fields.option`: `flags`, as the command line spells the option where
that is not `--` and its name, and `metavar`, what the help calls its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import NamedTuple

from detkit.errors import ConfigError
from detkit.inference.geometry import Shape, lines, zones
from detkit.inference.values import Region, batch_size, names, rate, region, threshold, tiles, time, views
from detkit.pipeline.fields import choice, nearest, option
from detkit.pipeline.options import Options


def refuse_idle(options: Options, names: tuple[str, ...], needed: str) -> None:
    """ConfigError if one of these options is set, which does nothing without another."""
    defaults = {field.name: field.default for field in fields(options)}
    for name in names:
        if getattr(options, name) != defaults[name]:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(
                f"{flag} does nothing without {needed}.", got=getattr(options, name), fix=f"Add {needed}."
            )


def _file(help: str):
    return option(None, path=True, convert=lambda value, path: value, expects="a path", metavar="FILE", help=help)


@dataclass(frozen=True)
class Reading(Options):
    """What is read of the sources."""

    start: Fraction | None = option(
        None, convert=time, metavar="TIME", help="Begin at this time of a video: seconds, or HH:MM:SS.mmm."
    )
    stop: Fraction | None = option(None, convert=time, metavar="TIME", help="End before this time of a video.")
    stride: int = option(1, at_least=1, metavar="N", help="Take every Nth frame; they keep their numbers and times.")
    sample_rate: Fraction | None = option(
        None,
        convert=rate,
        metavar="RATE",
        help="Take at most this many frames per second, by their times: 5, 30000/1001.",
    )
    roi: Region | None = option(
        None,
        convert=region,
        metavar="L,T,R,B",
        help="Look only inside this rectangle: left,top,right,bottom in pixels, or in fractions if all are at most 1.",
    )
    on_error: str = choice(
        "skip", "skip", "stop", help="At a frame that can't be decoded: go on behind it, or stop the source there."
    )
    reconnect: int = option(
        5, at_least=0, metavar="N", help="How often in a row to open a stream or camera again when it drops."
    )

    def __post_init__(self):
        super().__post_init__()
        if self.stop is not None and self.stop <= (self.start or 0):
            raise ConfigError(
                "The time range is empty.",
                got=f"start {float(self.start or 0):g} s, stop {float(self.stop):g} s",
                expected="a stop after the start",
            )
        if self.stride > 1 and self.sample_rate is not None:
            raise ConfigError(
                "Frames are taken by number or by time, not both.", fix="Leave stride or sample_rate away."
            )

    @property
    def picks_by_time(self) -> bool:
        """Whether frames are chosen by their times."""
        return (self.start, self.stop, self.sample_rate) != (None, None, None)

    @property
    def described(self) -> str:
        """What differs from reading everything, in words."""
        names = ("start", "stop", "sample_rate") if self.picks_by_time else ()
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        given |= {"stride": self.stride} if self.stride > 1 else {}
        return ", ".join(f"{name} {float(value):g}" for name, value in given.items())


@dataclass(frozen=True)
class Writing(Options):
    """What is written, and how."""

    labels: bool = option(True, help="Write class names and scores at the boxes.")
    json: str | None = _file("Write the detections as a COCO results list.")
    csv: str | None = _file("Write the detections as a table, boxes in pixels.")
    jsonl: str | None = _file("Write a line of JSON for each frame, as soon as it is done.")
    parquet: str | None = _file("Write the detections as a Parquet table (needs detkit[parquet]).")
    mot: str | None = option(
        None,
        path=True,
        convert=lambda value, path: value,
        metavar="PATH",
        help="Write tracks in the MOT challenge's format: a file, or a directory for several sources.",
    )
    crops: str | None = option(
        None,
        path=True,
        convert=lambda value, path: value,
        metavar="DIR",
        help="Write each detected object as a picture of its own.",
    )
    crop_margin: float = option(
        0.0, at_least=0, at_most=10, metavar="PART", help="Widen the crops on every side by this part of the box."
    )
    frames: str | None = option(
        None, choices=("jpg", "png", "webp"), help="Draw a video as a folder of pictures of this format."
    )
    codec: str = choice("h264", "h264", "hevc", "vp9", "av1", "mpeg4", help="The codec of a drawn video.")
    quality: int | None = option(
        None,
        at_least=0,
        at_most=63,
        metavar="CRF",
        help="The codec's constant rate factor, lower is better; by default 20 for h264, and alike for the others.",
    )
    audio: bool = option(False, help="Copy the video's sound into the drawn video.")
    rate: Fraction = option(
        Fraction(25),
        convert=rate,
        metavar="RATE",
        help="Frames per second of a video made from a folder: 25, 30000/1001.",
    )

    def __post_init__(self):
        super().__post_init__()
        if self.codec == "mpeg4" and self.quality is not None and not 1 <= self.quality <= 31:
            got, fix = f"{self.quality} for mpeg4", "Give mpeg4's quantiser, such as 4."
            raise ConfigError("quality can't have this value.", where="--quality", got=got, expected="1 to 31", fix=fix)
        if not self.crops:
            refuse_idle(self, ("crop_margin",), "--crops")


@dataclass(frozen=True)
class Detecting(Options):
    """What is looked for, and how the model runs."""

    threshold: float = option(
        0.3, convert=threshold, flags=("--threshold", "-t"), help="Lowest score of a detection, 0 to 1."
    )
    classes: tuple[str, ...] | None = option(
        None, convert=names, flags=("--class", "-c"), metavar="NAME", help="Only this class; repeatable."
    )
    batch_size: int | None = option(
        None, convert=batch_size, metavar="N",
        help="Images to run through the model at once; by default what suits the runtime.",
    )  # fmt: skip
    runtime: str = choice(
        "auto", "auto", "tensorflow", "xla", "litert", "onnxruntime",
        help="What computes the network; auto takes the fastest for the model and the machine.",
    )  # fmt: skip
    precision: str = choice(
        "float32", "float32", "mixed",
        help="Numbers of the network: mixed computes convolutions in 16 bits, for devices that do so faster.",
    )  # fmt: skip
    tiles: int | str | None = option(
        None, convert=tiles, metavar="PIXELS",
        help="Look at large images also in overlapping squares of this side, for small objects; auto: the model's own.",
    )  # fmt: skip
    tile_overlap: float = option(
        0.2, at_least=0, at_most=0.9, metavar="PART", help="The part of a tile that the next one shows too."
    )
    tta: tuple[str, ...] = option(
        (), convert=views, metavar="VIEW",
        help="Look at each image this way too and average the boxes: flip, or a scale such as 1.5; repeatable.",
    )  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        if self.tiles is None:
            refuse_idle(self, ("tile_overlap",), "--tiles")

    @property
    def compiling(self) -> dict:
        """The arguments of `detkit.inference.predictor.Predictor` among these."""
        names = ("runtime", "batch_size", "precision", "tiles", "tile_overlap", "tta")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Tracking(Options):
    """Following objects from frame to frame."""

    track: bool = option(False, help="Give each object a number that it keeps from frame to frame.")
    track_low: float = option(
        0.1, at_least=0, at_most=1, metavar="SCORE", help="Lowest score of a detection that continues a track."
    )
    track_iou: float = option(
        0.2, above=0, at_most=1, metavar="IOU", help="Least overlap of a detection with where its track should be."
    )
    track_lost: float = option(
        1.0, at_least=0, metavar="SECONDS", help="Keep a track for so long while its object is out of sight."
    )
    lines: tuple[Shape, ...] = option(
        (), convert=lines, flags=("--line",), metavar="X1,Y1,X2,Y2",
        help="Count the objects that cross this line, in fractions of the picture: in from its left to its right, "
        "seen from its first point; repeatable; NAME=X1,... names it; implies --track.",
    )  # fmt: skip
    zones: tuple[Shape, ...] = option(
        (), convert=zones, flags=("--zone",), metavar="X,Y,X,Y,...",
        help="Count the objects in this polygon, in fractions of the picture; repeatable; NAME=X,... names it; implies "
        "--track.",
    )  # fmt: skip
    count_at: str = choice(
        "centre", "centre", "bottom", help="The point of an object that counts: centre, or middle of the lower edge."
    )
    counts: str | None = _file("Write what crossed the lines and entered the zones as JSON.")

    def __post_init__(self):
        super().__post_init__()
        if self.counts and not self.counts_something:
            fix = "Give a line or a zone, such as --line 0,0.5,1,0.5."
            raise ConfigError("There is nothing to count.", where="--counts", got=self.counts, fix=fix)
        if not self.counts_something:
            refuse_idle(self, ("count_at",), "--line or --zone")
        if not self.follows:
            refuse_idle(self, ("track_low", "track_iou", "track_lost"), "--track")

    @property
    def counts_something(self) -> bool:
        """Whether there is a line or a zone."""
        return bool(self.lines or self.zones)

    @property
    def follows(self) -> bool:
        """Whether objects are to be followed: asked for, or needed for counting."""
        return self.track or self.counts_something


@dataclass(frozen=True)
class Running(Options):
    """The run itself."""

    show_progress: bool | None = option(
        None, flags=("--progress/--no-progress",), help="Show a progress bar; on terminals by default."
    )
    resume: bool = option(
        False, help="Keep a journal beside the output, and go on with a run that was killed; delete it at the end."
    )
    engine: str = choice(
        "local", "local", "ray",
        help="Where the model runs: in this process, or in workers of Ray (needs detkit[ray]; keeps a journal).",
    )  # fmt: skip
    address: str | None = option(
        None, metavar="ADDRESS", help="The Ray cluster to run on; by default Ray is started on this machine."
    )
    workers: int | None = option(
        None, at_least=1, metavar="N", help="Ray workers at most, each with its own model; by default all that fit."
    )
    worker_cpus: float = option(1.0, above=0, metavar="N", help="CPU cores of a Ray worker.")
    worker_gpus: float = option(0.0, at_least=0, metavar="N", help="GPUs of a Ray worker; 0.5: two workers share one.")
    shard: float = option(
        60.0, above=0, metavar="SECONDS", help="Length of the pieces of video that Ray workers are given."
    )

    def __post_init__(self):
        super().__post_init__()
        if self.engine == "local":
            refuse_idle(self, ("address", "workers", "worker_cpus", "worker_gpus", "shard"), "--engine ray")

    @property
    def keeps(self) -> bool:
        """Whether the run keeps a journal."""
        return self.resume or self.engine == "ray"


class Settings(NamedTuple):
    """All options of a prediction run, by subject."""

    reading: Reading
    writing: Writing
    detecting: Detecting
    tracking: Tracking
    running: Running


CLASSES = (Reading, Writing, Detecting, Tracking, Running)


def settings(values: Mapping) -> Settings:
    """The options that flat names and values stand for.

    Raises:
        ConfigError: for an unknown name, and for a value that isn't allowed.
    """
    known = {field.name: cls for cls in CLASSES for field in fields(cls)}
    for name in values:
        if name not in known:
            fix = nearest(name, known) or f"The options are: {', '.join(known)}."
            raise ConfigError("There is no such option of a prediction.", got=name, fix=fix)
    return Settings(*(cls(**{k: v for k, v in values.items() if known[k] is cls}) for cls in CLASSES))

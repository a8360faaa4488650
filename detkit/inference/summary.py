"""What a prediction run did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detkit.inference.sources import Source


@dataclass(frozen=True)
class Summary:
    """What a prediction run did.

    Attributes:
        frames: images and video frames that went through the model.
        detections: detections at or above the threshold, of the chosen classes; None of a model that detects nothing.
        seconds: wall-clock time from the first decoded frame's request to the last written byte.
        outputs: the files and directories written.
        warnings: what went wrong without stopping the run, a message each.
        skipped: the files that could not be decoded at all.
        interrupted: whether Ctrl-C ended the run early; the outputs hold what was done until then.
    """

    frames: int
    detections: int | None
    seconds: float
    outputs: tuple[Path, ...]
    warnings: tuple[str, ...]
    skipped: tuple[Path, ...]
    interrupted: bool = False

    @classmethod
    def of(cls, sources: Sequence[Source], frames: int, detections: int | None, seconds: float, outputs, interrupted):
        """The summary of a run over sources, with their warnings."""
        warnings = tuple(warning for source in sources for warning in source.warnings)
        skipped = tuple(path for source in sources for path in source.skipped)
        return cls(frames, detections, seconds, tuple(dict.fromkeys(outputs)), warnings, skipped, interrupted)

    @property
    def frames_per_second(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        counts = f"{self.frames} frames" + ("" if self.detections is None else f", {self.detections} detections")
        speed = f"{self.seconds:.1f} s, {self.frames_per_second:.1f} frames per second"
        ended = ["interrupted: the outputs hold what was done so far"] * self.interrupted
        return "\n".join([f"{counts} in {speed}", *ended, *(f"wrote {path}" for path in self.outputs)])

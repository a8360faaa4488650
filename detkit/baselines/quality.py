"""How good proposals are: how many objects they cover, how tightly, and how many it takes.

Sources: Hosang et al., "What makes for effective detection proposals?", PAMI 2016; the mean average best overlap of
Uijlings et al., IJCV 2013.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from detkit import boxes as box_math
from detkit.data.dataset import Dataset
from detkit.data.example import Example
from detkit.errors import DataError
from detkit.io import atomic_write
from detkit.progress import progress

COUNTS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
IOUS = np.round(np.arange(0.5, 1.0, 0.05), 2)
_SHOWN = (100, 500, 1000, 2000)


@dataclass(frozen=True, eq=False)
class Quality:
    """What proposals cover of the objects of a dataset.

    Attributes:
        counts: how many of the first proposals are looked at; the last is all of them.
        overlaps: float32 [len(counts), M], the best IoU of each object with them.
        class_ids: int [M], of the objects.
        proposals: of an image, on average; seconds: likewise.
    """

    counts: tuple[float, ...]
    overlaps: np.ndarray
    class_ids: np.ndarray
    proposals: float
    seconds: float

    def recall(self, iou: float = 0.5) -> np.ndarray:
        """The share of objects with a proposal of at least this IoU, for each count: [len(counts)]."""
        return (self.overlaps >= iou).mean(axis=1)

    def mabo(self) -> np.ndarray:
        """Mean average best overlap, the mean over the classes of their objects' best IoU: [len(counts)]."""
        classes = np.unique(self.class_ids)
        return np.mean([self.overlaps[:, self.class_ids == each].mean(axis=1) for each in classes], axis=0)

    def table(self) -> str:
        """The numbers as text."""
        lines = [f"{self.overlaps.shape[1]} objects, {self.proposals:.0f} proposals and {self.seconds:.2f} s an image"]
        lines.append("proposals   recall at IoU 0.5      0.7   mean average best overlap")
        columns = zip(self.counts, self.recall(0.5), self.recall(0.7), self.mabo(), strict=True)
        for count, at_half, higher, mabo in columns:
            if count in (*_SHOWN, np.inf):
                lines.append(f"{_name(count):>9}   {at_half:>17.3f}   {higher:>6.3f}   {mabo:>25.3f}")
        return "\n".join(lines)

    def to_json(self) -> dict:
        """The numbers as a mapping."""
        counts = [_name(count) for count in self.counts]
        recall = {f"{iou:.2f}": dict(zip(counts, self.recall(iou).tolist(), strict=True)) for iou in IOUS}
        mabo = dict(zip(counts, self.mabo().tolist(), strict=True))
        sizes = {"objects": self.overlaps.shape[1], "proposals": self.proposals, "seconds": self.seconds}
        return sizes | {"recall": recall, "mabo": mabo}

    def draw(self, path) -> None:
        """Writes a PNG: recall and mean average best overlap over the number of proposals, and recall over IoU."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 4.5), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        counts = [min(count, self.proposals) for count in self.counts]
        left.semilogx(counts, self.recall(0.5), marker="o", label="recall at IoU 0.5")
        left.semilogx(counts, self.recall(0.7), marker="o", label="recall at IoU 0.7")
        left.semilogx(counts, self.mabo(), marker="o", label="mean average best overlap")
        left.set_xlabel("proposals")
        ious = np.linspace(0.5, 1, 51)
        for count, overlaps in zip(self.counts, self.overlaps, strict=True):
            if count in (*_SHOWN, np.inf):
                right.plot(ious, [(overlaps >= iou).mean() for iou in ious], label=f"{_name(count)} proposals")
        right.set(xlabel="IoU", ylabel="recall")
        for axes in (left, right):
            axes.set_ylim(0, 1.02)
            axes.grid(color="0.9")
            axes.legend(frameon=False, fontsize=9)
        encoded = io.BytesIO()
        figure.savefig(encoded, format="png", dpi=120)
        with atomic_write(path, "wb") as file:
            file.write(encoded.getbuffer())


def _name(count: float) -> str:
    return "all" if np.isinf(count) else str(int(count))


def measure(dataset: Dataset, propose: Callable, show_progress: bool | None = None) -> Quality:
    """The quality of proposals on a dataset; crowds and difficult objects are left out.

    Args:
        dataset: the ground truth.
        propose: image uint8 [H, W, 3] -> boxes [N, 4], normalised yxyx, the best first.

    Raises:
        DataError: if the dataset has no objects.
    """
    found, seconds = [], []
    for example in progress(dataset, total=len(dataset), description="propose", show=show_progress):
        image = example.pixels()
        started = time.perf_counter()
        boxes = propose(image)
        seconds.append(time.perf_counter() - started)
        found.append((*_best_overlaps(boxes, example), len(boxes)))
    overlaps = np.concatenate([each[0] for each in found], axis=1) if found else np.zeros((1, 0))
    if not overlaps.size:
        raise DataError("There is nothing to cover: the dataset has no objects.", where=dataset.name)
    class_ids = np.concatenate([each[1] for each in found])
    lengths = [each[2] for each in found]
    return Quality((*COUNTS, np.inf), overlaps, class_ids, float(np.mean(lengths)), float(np.mean(seconds)))


def _best_overlaps(boxes: np.ndarray, example: Example) -> tuple[np.ndarray, np.ndarray]:
    """(best IoU [counts, M] of each object with the first proposals, class ids [M])."""
    counted = example.counts
    if not len(boxes):
        return np.zeros((len(COUNTS) + 1, counted.sum()), np.float32), example.class_ids[counted]
    best = np.maximum.accumulate(box_math.iou(boxes, example.boxes[counted]), axis=0)  # [N, M]
    last = [min(count, len(boxes)) - 1 for count in (*COUNTS, len(boxes))]
    return best[last], example.class_ids[counted]

"""What a dataset is made of, as one picture of six plots."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from detkit.errors import MediaError
from detkit.io import atomic_write
from detkit.visualize.palette import colour
from detkit.visualize.sheet import shortened

if TYPE_CHECKING:
    from detkit.data.overview.stats import Stats

_CLASSES = 20  # bars in the plot of classes
_LETTERS = 24  # of a class name
_TINTS = tuple("#{:02x}{:02x}{:02x}".format(*colour(n)) for n in (2, 3, 6))  # of small, medium and large objects
_RED, _BLUE = _TINTS[0], _TINTS[2]


def overview(stats: Stats, path: str | Path) -> None:
    """Draws counts, sizes, shapes and places of a dataset's objects, and what share of them anchors can match.

    Args:
        stats: of `detkit.data.stats`; without anchors in it, the sizes of the images take that plot's place.
        path: the PNG file.

    Raises:
        MediaError: if the name does not end in .png.
        ConfigError: if the path can't be written.
    """
    if Path(path).suffix.lower() != ".png":
        got = f'the ending "{Path(path).suffix}"'
        raise MediaError("detkit writes this picture as PNG.", where=path, got=got, expected=".png")
    figure, plots = _figure()
    title = f"{shortened(stats.name, 60)}: {_count(stats.images, 'image')}, {_count(stats.objects, 'object')}"
    figure.suptitle(f"{title}, {_count(len(stats.classes), 'class')}", fontsize=15, parse_math=False)
    _classes(plots[0], stats)
    _sizes(plots[1], stats)
    _shapes(plots[2], stats)
    _centres(plots[3], stats, figure)
    _per_image(plots[4], stats)
    _image_sizes(plots[5], stats) if stats.overlaps is None else _coverage(plots[5], stats)
    _save(figure, path)


def _count(number: int, noun: str) -> str:
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def _classes(axes, stats: Stats) -> None:
    labels = not stats.objects and stats.labelled > 0
    by_size = np.zeros((3, len(stats.classes)), int)
    np.add.at(by_size, (stats.size_ids, stats.class_ids), 1)
    by_size = np.stack([stats.labels * 0, stats.labels * 0, stats.labels]) if labels else by_size
    counts = by_size.sum(axis=0)
    order = np.argsort(-counts, kind="stable")[:_CLASSES]
    more = f" ({len(order)} of {len(counts)} classes)" if len(counts) > len(order) else ""
    axes.set_title(("Images that have each label" if labels else "Objects of each class") + more)
    if not len(counts):
        return _nothing(axes, "no classes")
    left = 0
    for row, tint in zip(by_size[:, order], _TINTS, strict=True):
        axes.barh(np.arange(len(order)), row, left=left, color=tint, height=0.75)
        left = left + row
    for row, count in enumerate(counts[order]):
        axes.annotate(f"{count:,}", (count, row), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(range(len(order)), [shortened(stats.classes[n], _LETTERS) for n in order], parse_math=False)
    axes.set_ylim(max(len(order), 10) - 0.5, -0.5)  # the first on top; few bars are no wider
    axes.set_xlim(0, max(1, counts.max()) * 1.18)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0, labelsize=9)
    _whole(axes.xaxis, at_most=4)
    return None


def _whole(axis, at_most: int = 9) -> None:
    """Ticks at whole numbers only, with commas, between so many intervals."""
    axis.get_major_locator().set_params(integer=True, nbins=at_most)
    axis.set_major_formatter("{x:,.0f}")


def _sizes(axes, stats: Stats) -> None:
    axes.set_title("Sizes of the objects")
    axes.set_xlabel(f"√area in pixels of {stats.pixels_of}")
    if not stats.objects:
        return _nothing(axes)
    sides = stats.mean_sides
    parts = [sides[stats.size_ids == n] for n in range(3)]
    _logarithmic(axes, parts, low=min(sides.min(), 14), high=max(sides.max(), 220), marks=stats.LIMITS)
    top = axes.get_ylim()[1]
    axes.set_ylim(0, top * 1.16)
    edges = [axes.get_xlim()[0], *stats.LIMITS, axes.get_xlim()[1]]
    for n, (name, part) in enumerate(zip(stats.SIZES, parts, strict=True)):
        style = {"ha": "center", "va": "top", "fontsize": 10, "color": _TINTS[n]}
        text = f"{name}\n{len(part) / stats.objects:.0%}"
        axes.text(np.sqrt(edges[n] * edges[n + 1]), top * 1.14, text, **style)
    for limit in stats.LIMITS:
        axes.axvline(limit, color="0.4", linewidth=1.2, linestyle="--")
    return None


def _shapes(axes, stats: Stats) -> None:
    axes.set_title("Shapes of the objects")
    axes.set_xlabel("width : height")
    if not stats.objects:
        return _nothing(axes)
    ratios = stats.aspect_ratios
    _logarithmic(axes, ratios, low=min(ratios.min(), 0.25), high=max(ratios.max(), 4), marks=(1, 2))
    axes.axvline(1, color="0.4", linewidth=1.2, linestyle="--")
    low, high = axes.get_xlim()
    ticks = {2.0**n: f"{2**n}:1" if n >= 0 else f"1:{2**-n}" for n in range(-16, 17) if low <= 2.0**n <= high}
    step = -(-len(ticks) // 9)
    ticks = {value: text for value, text in ticks.items() if np.log2(value) % step == 0}
    axes.set_xticks(list(ticks), list(ticks.values()))
    return None


def _logarithmic(axes, values, low: float, high: float, marks: tuple[float, float]) -> None:
    """A histogram over a logarithmic axis, of an array or of the three sizes' arrays; two marks are edges of bins."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    count = len(values) if isinstance(values, np.ndarray) else sum(map(len, values))
    step = np.log(marks[1] / marks[0])
    step /= max(1, round(np.clip(2 * np.sqrt(count), 12, 48) * step / np.log(high / low)))
    first, last = np.floor(np.log(low / marks[0]) / step), np.ceil(np.log(high / marks[0]) / step)
    bins = marks[0] * np.exp(step * np.arange(first, last + 1.5))
    tint = _BLUE if isinstance(values, np.ndarray) else _TINTS
    axes.hist(values, bins, color=tint, edgecolor="white", linewidth=0.4, stacked=True)
    axes.set_ylabel("objects")
    _whole(axes.yaxis)
    axes.set_xscale("log", base=2)
    axes.set_xlim(bins[0], bins[-1])
    axes.xaxis.set_major_locator(LogLocator(2, numticks=10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _centres(axes, stats: Stats, figure) -> None:
    axes.set_title("Centres of the objects in the image")
    if not stats.objects:
        return _nothing(axes)
    axes.grid(visible=False)
    height, width = np.median(stats.image_sizes, axis=0)
    shape = np.clip(height / width, 0.4, 2.5)
    counts = stats.centre_counts
    shown = axes.imshow(counts, cmap="magma", extent=(0, 1, 1, 0), aspect=shape, vmin=0, vmax=counts.max())
    axes.spines[:].set_visible(True)
    axes.set_xticks([0, 0.5, 1], ["left", "", "right"])
    axes.set_yticks([0, 0.5, 1], ["top", "", "bottom"])
    bar = figure.colorbar(shown, ax=axes, fraction=0.046, pad=0.03)
    bar.ax.yaxis.get_major_locator().set_params(integer=True)
    bar.outline.set_visible(False)
    return None


def _per_image(axes, stats: Stats) -> None:
    axes.set_title("Objects in an image")
    axes.set_xlabel("objects")
    axes.set_ylabel("images")
    counts = stats.per_image
    if not len(counts):
        return _nothing(axes, "no images")
    step = -(-(counts.max() + 1) // 40)
    edges = np.arange(0, counts.max() + 1 + step, step) - 0.5
    heights = np.histogram(counts, edges)[0]
    colours = [_RED if step == 1 and n == 0 else _BLUE for n in range(len(heights))]
    axes.bar(edges[:-1] + step / 2, heights, width=0.85 * step, color=colours)
    axes.set_xlim(-0.75, max(edges[-1], 4.5) + 0.25)
    _whole(axes.xaxis)
    _whole(axes.yaxis)
    without = int((counts == 0).sum())
    if without:
        axes.set_title(f"Objects in an image (in {without:,} of them none)")
    return None


def _coverage(axes, stats: Stats) -> None:
    axes.set_title("Objects that an anchor can match")
    axes.set_xlabel("IoU with the best anchor, at least")
    axes.set_ylabel("share of the objects")
    if not stats.objects:
        return _nothing(axes)
    thresholds = np.linspace(0, 1, 101)
    parts = [("all", slice(None), "0.1", 2.4)]
    for n, (name, tint) in enumerate(zip(stats.SIZES, _TINTS, strict=True)):
        chosen = stats.size_ids == n
        parts += [(name, chosen, tint, 1.4)] if chosen.any() else []
    for name, chosen, tint, width in parts:
        ordered = np.sort(stats.overlaps[chosen])
        shares = 1 - np.searchsorted(ordered, thresholds) / len(ordered)
        matched = f"{name} {stats.recall(stats.MATCHED, chosen):.1%}"
        axes.plot(thresholds, shares, color=tint, linewidth=width, label=matched)
    axes.axvline(stats.MATCHED, color="0.4", linewidth=1.2, linestyle="--")
    axes.set(xlim=(0, 1), ylim=(0, 1.03))
    axes.legend(frameon=False, fontsize=9, title=f"at IoU {stats.MATCHED}", loc="lower left")
    return None


def _image_sizes(axes, stats: Stats) -> None:
    axes.set_title("Sizes of the images")
    axes.set_xlabel("width in pixels")
    axes.set_ylabel("height in pixels")
    if not stats.images:
        return _nothing(axes, "no images")
    sizes, counts = np.unique(stats.image_sizes, axis=0, return_counts=True)
    area = 15 + 400 * counts / stats.images
    axes.scatter(sizes[:, 1], sizes[:, 0], area, color=_BLUE, alpha=0.5, linewidths=0)
    limit = 1.15 * stats.image_sizes.max()
    axes.set(xlim=(0, limit), ylim=(0, limit))
    axes.set_aspect("equal")
    axes.plot([0, limit], [0, limit], color="0.8", linewidth=1, zorder=0)
    noun = "one size" if len(sizes) == 1 else f"{len(sizes):,} sizes"
    axes.set_title(f"Sizes of the images ({noun})")
    return None


def _nothing(axes, words: str = "no objects") -> None:
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color="0.5")
    axes.set_xticks([])
    axes.set_yticks([])


def _figure() -> tuple:
    """A figure and its six plots."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15.5, 9.2), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    FigureCanvasAgg(figure)
    plots = figure.subplots(2, 3).ravel()
    for axes in plots:
        axes.grid(color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, plots


def _save(figure, path: str | Path) -> None:
    encoded = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # of a class name whose script the font lacks
        figure.savefig(encoded, format="png", dpi=110)
    with atomic_write(path, "wb") as file:
        file.write(encoded.getbuffer())

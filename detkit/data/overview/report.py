"""What `Stats` counted, as JSON and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detkit.text import aligned

if TYPE_CHECKING:
    from detkit.data.overview.stats import Stats

_PERCENTILES = {"min": 0, "p5": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95, "max": 100}
_WORST = 5  # unmatched objects in the table
_PAIRS = 20  # of classes that are in pictures together


def numbers(stats: Stats) -> dict:
    """As `Stats.to_json`."""
    result = {name: getattr(stats, name) for name in ("name", "images", "boxes", "objects", "crowd", "difficult")}
    result |= {name: getattr(stats, name) for name in ("masks", "keypoints", "labelled", "class_maps")}
    names = stats.classes
    return result | {
        "images_without_objects": int((stats.per_image == 0).sum()),
        "objects_per_image": _spread(stats.per_image),
        "image_heights": _spread(stats.image_sizes[:, 0]),
        "image_widths": _spread(stats.image_sizes[:, 1]),
        "pixels_of": stats.pixels_of,
        "sides": _spread(stats.mean_sides),
        "heights": _spread(stats.sides[:, 0]),
        "widths": _spread(stats.sides[:, 1]),
        "aspect_ratios": _spread(stats.aspect_ratios),
        "sizes": _counts_of_sizes(stats, stats.size_ids),
        "centres": stats.centre_counts.tolist(),
        "per_class": {name: values for name, values in zip(names, _classes(stats), strict=True)},
        "together": [{"classes": [names[a], names[b]], "images": n} for a, b, n in stats.together[:_PAIRS]],
        "anchors": None if stats.overlaps is None else _anchors(stats),
    }


def _spread(values: np.ndarray) -> dict | None:
    """Percentiles and mean, or None of nothing."""
    if not len(values):
        return None
    spread = dict(zip(_PERCENTILES, np.percentile(values, list(_PERCENTILES.values())).tolist(), strict=True))
    return {name: _rounded(value) for name, value in (spread | {"mean": np.mean(values, dtype=float)}).items()}


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.5g}")


def _counts_of_sizes(stats: Stats, size_ids: np.ndarray) -> dict[str, int]:
    return dict(zip(stats.SIZES, np.bincount(size_ids, minlength=len(stats.SIZES)).tolist(), strict=True))


def _classes(stats: Stats) -> list[dict]:
    """The numbers of each class."""
    order = np.argsort(stats.class_ids, kind="stable")
    members = np.split(order, np.cumsum(stats.per_class)[:-1])
    size_ids, sides, images, rows = stats.size_ids, stats.mean_sides, stats.images_per_class, []
    for class_id, chosen in enumerate(members[: len(stats.classes)]):
        row = {"objects": len(chosen), "images": int(images[class_id]), "labelled": int(stats.labels[class_id])}
        row |= _counts_of_sizes(stats, size_ids[chosen])
        row["median_side"] = _rounded(np.median(sides[chosen])) if len(chosen) else None
        if stats.overlaps is not None:
            row["recall"] = _rounded(stats.recall(stats.MATCHED, chosen))
        rows.append(row)
    return rows


def _anchors(stats: Stats) -> dict:
    recalls = (stats.recall(stats.MATCHED, stats.size_ids == n) for n in range(len(stats.SIZES)))
    by_size = dict(zip(stats.SIZES, map(_rounded, recalls), strict=True))
    thresholds = [round(0.05 * n, 2) for n in range(2, 20)]
    return {
        "anchors": stats.anchors,
        "recall": _rounded(stats.recall()),
        "recall_by_size": by_size,
        "recall_by_iou": {f"{threshold:.2f}": _rounded(stats.recall(threshold)) for threshold in thresholds},
        "best_iou": _spread(stats.overlaps),
        "unmatched": int((stats.overlaps < stats.MATCHED).sum()),
        "worst": [
            {"image": each.image, "box": each.box, "class": each.class_name,
             "size": [_rounded(side) for side in each.size], "iou": _rounded(each.overlap)}
            for each in stats.unmatched
        ],
    }  # fmt: skip


def table(stats: Stats) -> str:
    """As `Stats.table`."""
    found = stats.to_json()
    spreads = _image_rows(found) + (_object_rows(found) if stats.objects else [])
    blocks = [_head(found, stats.classes), _class_rows(found, stats.SIZES), aligned(spreads)]
    if found["anchors"] and stats.objects:
        blocks.append(_anchor_text(found["anchors"], stats.MATCHED))
    return "\n\n".join(block for block in blocks if block)


def _head(found: dict, classes) -> str:
    marked = [f"{found[name]} {name}" for name in ("crowd", "difficult") if found[name]]
    boxes = f"{found['boxes']} boxes" + (f" ({', '.join(marked)}: not counted below)" if marked else "")
    noun = "class" if len(classes) == 1 else "classes"
    lines = [f"{found['name']}: {found['images']} images, {boxes}, {len(classes)} {noun}"]
    kinds = {"masks": "objects with masks", "keypoints": "objects with keypoints", "labelled": "images with labels"}
    kinds |= {"class_maps": "images with class maps", "images_without_objects": "images without objects"}
    lines += [f"{found[name]} {text}" for name, text in kinds.items() if found[name]]
    lines += [f"Sizes of objects are in pixels of {found['pixels_of']}."] * (found["objects"] > 0)
    return "\n".join(lines)


def _class_rows(found: dict, sizes: tuple[str, ...]) -> str:
    rows = found["per_class"]
    if not rows:
        return ""
    columns = ["objects", "share", "images", "labelled", *sizes, "median_side", "recall"]
    labelled = any(row["labelled"] for row in rows.values())
    columns = [c for c in columns if (c != "labelled" or labelled) and (c != "recall" or found["anchors"])]
    columns = ["labelled"] if labelled and not found["objects"] else columns
    names = {"labelled": "images with the label", "median_side": "median side", "recall": "matched"}
    lines = [["class", *(names.get(column, column) for column in columns)]]
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["objects"]):
        row = row | {"share": _percent(row["objects"] / max(1, found["objects"]))}
        row |= {"recall": _percent(row.get("recall"))}
        lines.append([name, *(_shown(row[column]) for column in columns)])
    return aligned(lines)


def _image_rows(found: dict) -> list[list[str]]:
    rows = [["", *_PERCENTILES, "mean"]]
    rows += [[f"image {name}", *_cells(found[f"image_{name}s"])] for name in ("height", "width")]
    return [*rows, ["objects in an image", *_cells(found["objects_per_image"])]]


def _object_rows(found: dict) -> list[list[str]]:
    names = {"heights": "object height", "widths": "object width", "sides": "root of its area"}
    rows = [[text, *_cells(found[name])] for name, text in names.items()]
    return [*rows, ["width / height", *_cells(found["aspect_ratios"])]]


def _cells(spread: dict | None) -> list[str]:
    return [_shown(value) for value in spread.values()] if spread else ["-"] * (len(_PERCENTILES) + 1)


def _anchor_text(anchors: dict, iou: float) -> str:
    by_size = ", ".join(f"{name} {_percent(value)}" for name, value in anchors["recall_by_size"].items())
    lines = [f"{_percent(anchors['recall'])} of the objects have an anchor with IoU {iou} or more: {by_size}"]
    if anchors["unmatched"]:
        lines.append(f"{anchors['unmatched']} have none; the farthest from one:")
        lines.append(aligned([_worst_row(each) for each in anchors["worst"][:_WORST]]))
    return "\n".join(lines)


def _worst_row(each: dict) -> list[str]:
    height, width = map(_shown, each["size"])
    return [f"  {each['image']}", f"box {each['box']}", each["class"], f"{height} x {width}", f"IoU {each['iou']:.2f}"]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _shown(value) -> str:
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{value:.0f}" if value >= 100 or float(value).is_integer() else f"{value:.3g}"

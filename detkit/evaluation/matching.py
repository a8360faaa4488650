"""Matching detections to ground truth by pycocotools, without its files and its prints."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

import numpy as np
from pycocotools.cocoeval import COCOeval

from detkit.data.formats.long_list import uncollected
from detkit.evaluation.matches import Matches

# How far off a keypoint may be, relative to the size of its object, where COCO has not measured how far its annotators
# differ: for the 17 of persons these numbers go from 0.025 for the eyes to 0.107 for the hips.
OTHER_SIGMA = 0.05
_AT_ONCE = 2**16  # pairs of image and class that are matched at a time: pycocotools keeps some kilobytes of each
_IOU_TYPES = {"boxes": "bbox", "masks": "segm", "keypoints": "keypoints"}


def match(truth, found, *, images: int, classes: int, max_detections, kind: str = "boxes", incomplete=()):
    """Precision and recall as the COCO evaluation defines them, and the matches that they come from.

    Args:
        truth: dicts with `image_id` (0..images-1), `category_id` (0..classes-1), `bbox` ([xmin, ymin, width,
            height] in pixels), `area` (pixels), `iscrowd` and `ignore` (booleans), and perhaps an `id`.
            For masks a `segmentation` (compressed RLE), for keypoints `keypoints` [x, y, visibility, ...] and
            `num_keypoints`, how many are labelled.
        found: dicts with `image_id`, `category_id`, `bbox`, `score`, in falling order of preference
            among equal scores; with `segmentation` or `keypoints`, and perhaps another `area` than that of the box.
        images: number of images.
        classes: number of classes.
        max_detections: rising limits of detections per image.
        kind: "boxes", "masks" or "keypoints"; the similarity of keypoints, OKS, takes the place of IoU. Its tolerances
            are COCO's where there are 17 keypoints, otherwise `OTHER_SIGMA` of the object's size for each.
        incomplete: pairs of image and class of which not all objects are annotated: what is found beside them there
            counts neither for nor against.

    Returns:
        Precision [IoU 10, recall 101, class, area range 4, limit] and recall [IoU 10, class, area range 4,
        limit], float64, with -1 where a class has no ground truth in the area range. The area ranges
        are all, small, medium, large; small is left out for keypoints. And the `Matches` over all areas, at the last
        limit.

    Source: Lin et al., Microsoft COCO, 2014; pycocotools.
    """
    step, entries, curves = max(1, _AT_ONCE // images), [], []
    with contextlib.redirect_stdout(io.StringIO()), uncollected():
        for start in range(0, classes, step):
            some = range(start, min(start + step, classes))
            matching = _Matching(truth, found, images, some, max_detections, kind, incomplete)
            matching.evaluate()
            matching.accumulate()
            entries += matching.of_all_areas()
            curves.append((matching.eval["precision"], matching.eval["recall"]))
    precision, recall = (np.concatenate(each, axis=-3) for each in zip(*curves, strict=True))
    matches = Matches.of(entries, matching.params.iouThrs, images, classes, truth, found)
    return precision, recall, matches


class _Matching(COCOeval):
    """pycocotools' evaluation of some classes, fed from lists instead of COCO files."""

    def __init__(self, truth, found, images: int, classes: range, max_detections, kind: str, incomplete):
        super().__init__(iouType=_IOU_TYPES[kind])
        self.params.imgIds, self.params.catIds = list(range(images)), list(classes)
        self._classes = classes
        self.params.maxDets = list(max_detections)
        self._truth, self._found, self._incomplete = truth, found, incomplete
        if kind == "keypoints":
            count = max((len(each["keypoints"]) // 3 for each in [*truth, *found]), default=0)
            if count != len(self.params.kpt_oks_sigmas):
                self.params.kpt_oks_sigmas = np.full(count, OTHER_SIGMA)

    def _prepare(self) -> None:
        # pycocotools takes a match with id 0 for no match, hence the numbering from 1; a box that has
        # an id keeps it, for the numbers that pycocotools itself gives on a file.
        for number, box in self._of_classes(self._truth):
            ignore = box["ignore"] or box["iscrowd"] or box.get("num_keypoints") == 0
            entry = {"id": number} | box | {"difficult": box["ignore"], "ignore": ignore}
            self._gts[box["image_id"], box["category_id"]].append(entry)
        for number, box in self._of_classes(self._found):
            area = box["area"] if "area" in box else box["bbox"][2] * box["bbox"][3]
            self._dts[box["image_id"], box["category_id"]].append(box | {"id": number, "area": area})

    def _of_classes(self, boxes) -> Iterator[tuple[int, dict]]:
        return (each for each in enumerate(boxes, 1) if each[1]["category_id"] in self._classes)

    def of_all_areas(self) -> list:
        """The matches of each class and image, in that order."""
        areas, images = len(self.params.areaRng), len(self.params.imgIds)
        return [entry for n, entry in enumerate(self.evalImgs) if n // images % areas == 0]

    def evaluateImg(self, imgId, catId, aRng, maxDet):
        # An ignored box may take any number of detections, as a crowd does; but its overlap, which is already
        # computed here, is plain IoU. So Pascal VOC treats its difficult objects.
        for box in self._gts[imgId, catId]:
            box["iscrowd"] = box["iscrowd"] or box["difficult"]
        entry = super().evaluateImg(imgId, catId, aRng, maxDet)
        if entry is not None and (imgId, catId) in self._incomplete:
            entry["dtIgnore"] = np.logical_or(entry["dtIgnore"], entry["dtMatches"] == 0)
        return entry

"""Federated datasets: the numbers of LVIS's own evaluation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from detkit.evaluation.coco import evaluate_files

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf")
# What the evaluation of lvis 0.5.3 says of `random_files`.
EXPECTED = {
    0: [0.0493501, 0.10033579, 0.052294, 0.021029, 0.09671138, 0.06089753, 0.03462865, 0.02943304, 0.08398861],
    1: [0.152529777, 0.289190824, 0.159883846, 0.04, 0.312871287, 0.4, 0.185932879, 0.112871287, 0.158785164],
    8: [0.052837597, 0.083876402, 0.062625393, 0.0, 0.152083845, -1.0, 0.012132579, 0.10388196, 0.042498251],
}  # fmt: skip


def random_files(seed: int, images: int = 12, classes: int = 6):
    """Annotations and results in which classes are absent, not looked for or not complete; some images are crowded."""
    rng = np.random.default_rng(seed)
    ids = range(1, classes + 1)
    entries, annotations, results = [], [], []
    for image in range(1, images + 1):
        present = rng.choice(np.arange(1, classes + 1), rng.integers(0, 4), replace=False)
        absent = [k for k in ids if k not in present and rng.random() < 0.4]
        incomplete = [int(k) for k in present if rng.random() < 0.4]
        known = {"neg_category_ids": absent, "not_exhaustive_category_ids": incomplete}
        entries.append({"id": image, "height": 400, "width": 400, **known})
        for k in present:
            for _ in range(rng.integers(1, 4)):
                x, y = map(int, rng.integers(0, 280, 2))
                w, h = map(int, rng.integers(8, 120, 2))
                same = {"image_id": image, "category_id": int(k)}
                annotations.append({"id": len(annotations) + 1, **same, "bbox": [x, y, w, h], "area": w * h})
                for _ in range(rng.integers(0, 4)):
                    shift = rng.integers(-8, 9, 4)
                    name = int(k if rng.random() < 0.8 else rng.integers(1, classes + 1))
                    box = [x + shift[0], y + shift[1], max(2, w + shift[2]), max(2, h + shift[3])]
                    results.append({"image_id": image, "category_id": name, "bbox": box, "score": rng.random()})
        for _ in range(rng.integers(0, 400) if rng.random() < 0.2 else 5):
            name = int(rng.integers(1, classes + 1))
            box = [float(v) for v in rng.integers(5, 200, 4)]
            results.append({"image_id": image, "category_id": name, "bbox": box, "score": rng.random()})
    categories = [{"id": k, "name": f"class {k}", "frequency": "rcf"[k % 3]} for k in ids]
    return {"images": entries, "annotations": annotations, "categories": categories}, results


@pytest.mark.parametrize("seed", EXPECTED)
def test_the_numbers_of_lvis_come_out(seed, tmp_path):
    truth, results = random_files(seed)
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results, default=float))
    metrics = evaluate_files(tmp_path / "truth.json", tmp_path / "results.json")
    assert [metrics[name] for name in NAMES] == pytest.approx(EXPECTED[seed], abs=1e-8)
    assert "AR300" in metrics
    assert "APr" in metrics.table() and "rare classes" in metrics.table()


def test_the_number_of_images_of_a_class_says_how_frequent_it_is(tmp_path):
    truth, results = random_files(1)
    for category in truth["categories"]:
        category["image_count"] = {"r": 10, "c": 100, "f": 101}[category.pop("frequency")]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results, default=float))
    metrics = evaluate_files(tmp_path / "truth.json", tmp_path / "results.json")
    assert [metrics[name] for name in NAMES] == pytest.approx(EXPECTED[1], abs=1e-8)

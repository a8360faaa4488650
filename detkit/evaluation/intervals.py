"""How far the numbers of a small test set can be trusted: bootstrap intervals, and whether one model is better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from detkit.errors import ConfigError, DataError
from detkit.evaluation.matches import Matches
from detkit.evaluation.metrics import Metrics

SAMPLES = 1000
NAMES = {"AP": slice(None), "AP50": slice(0, 1), "AP75": slice(5, 6)}  # and their IoU thresholds


@dataclass(frozen=True)
class Interval:
    """A number and the range in which its true value probably lies, for images like these.

    Attributes:
        value: of this test set; NaN if undefined.
        low, high: the ends of the range.
        level: how often such ranges hold the true value.
    """

    value: float
    low: float
    high: float
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def within(self, low: float, high: float) -> Interval:
        """The same, cut to what the number can be."""
        return replace(self, low=max(self.low, low), high=min(self.high, high))


def resamples(images: int, samples: int, seed: int) -> np.ndarray:
    """How often each image is in each bootstrap sample: int [samples, images]."""
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), samples)


def interval(
    metrics: Metrics, name: str = "AP", *, level: float = 0.95, samples: int = SAMPLES, seed: int = 0
) -> Interval:
    """The bootstrap interval of a number, over images.

    The images of the test set are drawn anew with replacement, each with all its objects and detections; the interval
    is the bias-corrected one, since the AP of a sample that holds images twice is too high on average, and wider for
    few images. Where all is found, or nothing, it leaves room for what so few images can't show; of one image it is
    0 to 1.

    Args:
        metrics: of `evaluate`.
        name: "AP", "AP50" or "AP75".
        level: how often the interval is to hold the true value.
        samples: how many times images are drawn.
        seed: decides the draws.

    Raises:
        ConfigError: for another name, or a level that is not between 0 and 1.
        DataError: if there is no object.

    Source: Efron, Better bootstrap confidence intervals, 1987; Hesterberg, What teachers should know about the
    bootstrap, 2015 (few images).
    """
    matches = _matches(metrics)
    _check(name, level)
    drawn = resamples(len(matches.objects), samples, seed)
    found = bias_corrected(lambda weights: mean_precision(matches, weights, name), drawn, level)
    return with_room(found, np.count_nonzero(matches.objects.any(axis=1))).within(0.0, 1.0)


def with_room(found: Interval, images: int) -> Interval:
    """The interval of a mean of so many images, with room for failures where less than one is seen, and for successes.

    Of failures in a share p of all images, n images show none with probability (1 - p)^n: resampling them shows none.
    """
    least = ((1 - found.level) / 2) ** (1 / images)
    low = min(found.low, least) if images * (1 - found.value) < 1 else found.low
    high = max(found.high, 1 - least) if images * found.value < 1 else found.high
    return replace(found, low=low, high=high)


def mean_precision(matches: Matches, weights, name: str = "AP") -> np.ndarray:
    """AP, AP50 or AP75 [S] of weighted samples, the mean over the classes that have objects there; NaN without any."""
    return _mean_of_defined(matches.at(NAMES[name]).average_precision(weights))


def _mean_of_defined(average: np.ndarray) -> np.ndarray:
    """The mean over thresholds and classes, [S, T, K] to [S]."""
    average = average.reshape(len(average), -1)
    defined = np.isfinite(average)
    with np.errstate(invalid="ignore"):
        return np.where(defined, average, 0).sum(axis=1) / defined.sum(axis=1)


def bias_corrected(number: Callable, drawn: np.ndarray, level: float) -> Interval:
    """The interval of a number of weighted samples [S, images] -> [S], from bootstrap samples; of one image endless."""
    images = drawn.shape[1]
    value = float(number(np.ones((1, images)))[0])
    sampled = number(drawn)
    sampled = np.sort(sampled[np.isfinite(sampled)])
    if images < 2 or not len(sampled):
        end = math.inf if math.isfinite(value) else math.nan
        return Interval(value, -end, end, level)
    # The share of samples below the value says how far their median is off; in units of a standard deviation.
    share = np.clip(np.mean(sampled < value) + np.mean(sampled == value) / 2, 1 / len(sampled), 1 - 1 / len(sampled))
    off, reach = _quantile(share), _reach(level, images)
    if abs(off) < 1:
        ends = np.quantile(sampled, [_share(2 * off - reach), _share(2 * off + reach)])
    else:  # what is to be corrected lies beyond the samples
        ends = np.quantile(sampled, [_share(-reach), _share(reach)]) - 2 * (np.median(sampled) - value)
    return Interval(value, float(min(ends[0], value)), float(max(ends[1], value)), level)


def _reach(level: float, images: int) -> float:
    """How many standard deviations the interval goes to either side; samples of few images spread too little."""
    from scipy.special import stdtrit

    return math.sqrt(images / (images - 1)) * float(stdtrit(images - 1, 0.5 + level / 2))


def _quantile(share: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(share))


def _share(quantile: float) -> float:
    return 0.5 * (1 + math.erf(quantile / math.sqrt(2)))


@dataclass(frozen=True)
class Comparison:
    """Whether model B is better than model A on the same images.

    Attributes:
        name: the number that was compared.
        a, b: its values.
        difference: b - a, and its interval.
        p_value: how often chance alone gives a difference at least as large, in either direction.
        images: how many images there are.
    """

    name: str
    a: float
    b: float
    difference: Interval
    p_value: float
    images: int

    @property
    def verdict(self) -> str:
        """One sentence."""
        level = 1 - self.difference.level
        if self.p_value < level:
            better, worse = ("B", "A") if self.difference.value > 0 else ("A", "B")
            return f"{better} is better than {worse} on images like these ({self.name}, p = {self.p_value:.3f})."
        return (
            f"These {self.images} images don't say which is better ({self.name}, p = {self.p_value:.2f}): "
            "chance alone makes differences like this."
        )

    def __str__(self) -> str:
        sign = f"{self.difference.value:+.3f} ({self.difference.low:+.3f} to {self.difference.high:+.3f})"
        return f"{self.name}: A {self.a:.3f}, B {self.b:.3f}, difference {sign}. {self.verdict}"


def compare(
    a: Metrics, b: Metrics, name: str = "AP", *, level: float = 0.95, samples: int = SAMPLES, seed: int = 0
) -> Comparison:
    """A paired test of two models on the same images.

    The interval is a bootstrap over images, the same ones for both. The p-value is that of a permutation test: if the
    models were equally good, exchanging their detections in any of the images would change nothing but by chance.

    Args:
        a, b: `evaluate` of each on the same dataset.
        name, level, samples, seed: as for `interval`.

    Raises:
        DataError: if the two were not evaluated on the same objects.
        ConfigError: as `interval`.

    Example:
        >>> print(compare(detkit.evaluate(old, test), detkit.evaluate(new, test)))
    """
    first, second = _matches(a), _matches(b)
    _check(name, level)
    if tuple(a.per_class) != tuple(b.per_class) or not np.array_equal(first.objects, second.objects):
        got = f"{a.images} images with {a.boxes} boxes, and {b.images} with {b.boxes}"
        raise DataError("The two were not evaluated on the same objects.", got=got, fix="Evaluate both on one dataset.")
    images = len(first.objects)
    drawn = resamples(images, samples, seed)
    difference = bias_corrected(
        lambda weights: mean_precision(second, weights, name) - mean_precision(first, weights, name), drawn, level
    ).within(-1.0, 1.0)
    p_value = _permutation(first, second, name, difference.value, samples, seed)
    once = np.ones((1, images))
    values = (float(mean_precision(each, once, name)[0]) for each in (first, second))
    return Comparison(name, *values, difference, p_value, images)


def _permutation(first: Matches, second: Matches, name: str, observed: float, samples: int, seed: int) -> float:
    """How often exchanging the models in a random half of the images makes a difference as large as the observed."""
    images, both = len(first.objects), _joined(first, second).at(NAMES[name])
    of_second = np.repeat([False, True], [len(first.score), len(second.score)])[both.row]
    exchanged = np.random.default_rng([seed, 1]).random((samples, images)) < 0.5

    def owned(by_second):  # by A or by B after the exchange
        return lambda rows, here: exchanged[rows][:, both.image[here]] == (of_second[here] ^ by_second)

    objects = np.ones((samples, images))
    a, b = (_mean_of_defined(both.average_precision(objects, owned(which))) for which in (False, True))
    as_large = np.abs(b - a) >= abs(observed) - 1e-12
    return float((as_large.sum() + 1) / (samples + 1))


def _joined(first: Matches, second: Matches) -> Matches:
    """The detections of both as one; `row` is the place in the one after the other."""
    columns = {}
    for name in ("image", "class_id", "score", "truth", "ignored", "boxes"):
        axis = 1 if name in ("truth", "ignored") else 0
        columns[name] = np.concatenate([getattr(first, name), getattr(second, name)], axis=axis)
    order = np.lexsort((-columns["score"], columns["class_id"]))
    columns = {k: v[:, order] if k in ("truth", "ignored") else v[order] for k, v in columns.items()}
    kept = {name: getattr(first, name) for name in first.__dataclass_fields__ if name not in columns}
    return Matches(**columns, **kept | {"row": order})


def _matches(metrics: Metrics) -> Matches:
    if metrics.matches is None or not metrics.boxes:
        raise DataError("There are no objects that an interval could rest on.", fix="Evaluate on annotated images.")
    return metrics.matches


def _check(name: str, level: float) -> None:
    if name not in NAMES:
        raise ConfigError("There is no interval of this number.", got=repr(name), expected=", ".join(NAMES))
    if not 0 < level < 1:
        raise ConfigError("The level of an interval is not between 0 and 1.", got=level, fix="Use 0.95.")

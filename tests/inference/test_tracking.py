"""Tracking: which detections of a video get the same number."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moving_objects import crowd, detections, quality, walk

from detkit.inference.sources import Frame, Source
from detkit.inference.tracking import Tracker, follow
from detkit.inference.writer import Result


def track(frames, rate: float = 30, times=None, **options) -> list:
    """The detections of each frame, tracked."""
    tracker = Tracker(**options)
    times = np.arange(len(frames)) / rate if times is None else times
    return [tracker.update(found, time) for found, time in zip(frames, times, strict=True)]


def ids(tracked) -> list[list[int]]:
    """The numbers in each frame, from left to right."""
    return [found.track_ids[np.argsort(found.boxes[:, 1])].tolist() for found in tracked]


def test_an_object_gets_its_number_in_its_second_frame_and_keeps_it():
    tracked = track([detections(place) for place in walk((100, 200), (150, 40), 20)])
    assert ids(tracked) == [[-1]] + 19 * [[1]]


def test_objects_that_pass_each_other_keep_their_numbers():
    right, left = walk((100, 200), (200, 0), 60), walk((500, 215), (-200, 0), 60)
    tracked = track([detections(np.stack(pair)) for pair in zip(right, left, strict=True)])
    assert ids(tracked)[1:30] == 29 * [[1, 2]] and ids(tracked)[40:] == 20 * [[2, 1]]
    assert quality(np.stack([right, left], 1), tracked)["switches"] == 0


@pytest.mark.parametrize("gap, same", [(10, True), (25, True), (35, False)])
def test_a_track_outlives_an_occlusion_shorter_than_what_lost_says(gap, same):
    frames = [detections(place) for place in walk((100, 200), (150, 0), 90)]
    frames[20 : 20 + gap] = gap * [detections([])]
    tracked = track(frames, lost=1.0)
    assert ids(tracked)[19] == [1] and ids(tracked)[30] == ([] if gap > 10 else [1])
    assert ids(tracked)[-1] == [1 if same else 2]


def test_unsure_detections_continue_a_track_but_begin_none():
    places = walk((100, 200), (100, 0), 30)
    scores = np.where(np.arange(30) < 10, 0.9, 0.15)
    frames = [detections(place, [score]) for place, score in zip(places, scores, strict=True)]
    assert ids(track(frames, threshold=0.5, low=0.1)) == [[-1]] + 29 * [[1]]
    assert ids(track(frames, threshold=0.5, low=0.2)) == [[-1]] + 9 * [[1]] + 20 * [[]]
    assert ids(track(frames[10:], threshold=0.5, low=0.1)) == 20 * [[]]


def test_classes_do_not_mix():
    places = walk((100, 200), (30, 0), 20)
    frames = [detections(place, class_ids=[n >= 10]) for n, place in enumerate(places)]
    assert ids(track(frames)) == [[-1]] + 9 * [[1]] + [[-1]] + 9 * [[2]]


@pytest.mark.parametrize("stride", [2, 5])
def test_fewer_frames_or_irregular_ones_make_the_same_tracks(stride):
    places, times = walk((100, 200), (120, 0), 90), np.arange(90) / 30
    kept = np.arange(0, 90, stride) + np.arange(90 // stride) % 2
    tracked = track([detections(place) for place in places[kept]], times=times[kept])
    assert ids(tracked) == [[-1]] + (len(kept) - 1) * [[1]]


def test_frames_without_objects_and_false_alarms_of_one_frame_leave_no_tracks():
    lone = detections([300, 200, 40, 80])
    assert ids(track([detections([]), lone, detections([]), lone, detections([])])) == [[], [-1], [], [-1], []]


def test_all_that_belongs_to_a_detection_stays_with_it():
    found = detections([[300, 200, 40, 80], [100, 100, 50, 50], [20, 20, 30, 30]], [0.9, 0.05, 0.6])
    shapes = dict(masks=np.arange(3)[:, None, None] * np.ones((3, 2, 2)), keypoints=np.zeros((3, 2, 2)))
    tracked = Tracker().update(type(found)(**vars(found) | shapes), 0.0)
    assert tracked.masks[:, 0, 0].tolist() == [0, 1] and len(tracked.keypoints) == 2
    assert np.array_equal(tracked.scores, found.scores[:2])


def test_a_crowd_with_missing_and_noisy_detections_and_false_alarms_is_followed():
    truth, rng = crowd(8, 150, seed=3), np.random.default_rng(4)
    frames = []
    for places in truth:
        noisy = places + rng.normal(0, 0.04, places.shape) * places[:, [2, 3, 2, 3]]
        alarms = np.hstack([rng.uniform(50, 430, (1, 2)), [[40, 40]]])
        seen = rng.random(8) > 0.1
        frames.append(detections([*noisy[seen], *alarms], [*rng.uniform(0.4, 1, seen.sum()), 0.35]))
    got = quality(truth, track(frames))
    assert got["MOTA"] > 0.86 and got["IDF1"] > 0.92 and not got["switches"], got  # a tenth is missing: 0.9 at most


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), objects=st.integers(0, 6), frames=st.integers(1, 12))
def test_whatever_is_detected_numbers_are_unique_in_a_frame_and_the_same_again(seed, objects, frames):
    rng = np.random.default_rng(seed)
    found = [
        detections(rng.uniform(1, 400, (n, 4)), rng.random(n), rng.integers(0, 2, n))
        for n in rng.integers(0, objects + 1, frames)
    ]
    times = np.cumsum(rng.uniform(0, 0.5, frames))
    first, again = track(found, times=times), track(found, times=times)
    assert ids(first) == ids(again)
    for before, after in zip(found, first, strict=True):
        numbers = after.track_ids[after.track_ids > 0]
        assert len(set(numbers.tolist())) == len(numbers)
        assert {s for s in before.scores.tolist() if s >= 0.3} <= set(after.scores.tolist())
        assert (after.scores[after.track_ids < 0] >= 0.3).all()
    everything = {(n, c) for a in first for n, c in zip(a.track_ids.tolist(), a.class_ids.tolist(), strict=True)}
    numbered = [n for n, _ in everything if n > 0]
    assert sorted(numbered) == list(range(1, len(numbered) + 1))  # one class each, none left out


def test_each_source_counts_from_one_and_pictures_without_times_pass_at_the_rate():
    sources = [Source(Path(name)) for name in "ab"]
    image = np.zeros((*detections([]).size, 3), np.uint8)
    results = [Result(s, Frame(s.path, image), detections(p)) for p in walk((99, 200), (60, 0), 40) for s in sources]
    results[40:60] = [Result(r.source, r.frame, detections([])) for r in results[40:60]]  # ten pictures each
    for rate, last in ((Fraction(25), 1), (Fraction(2), 2)):
        tracked = [r.detections for r in follow(results, Tracker, rate)]
        assert ids(tracked)[:6] == [[-1], [-1], [1], [1], [1], [1]] and ids(tracked)[-2:] == [[last], [last]]

"""A run in shards: done in any order, put together to what one process gives."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from same_files import assert_same

from detkit.detections import Detections
from detkit.errors import ConfigError
from detkit.inference import ray_engine, shards
from detkit.inference.options import Reading
from detkit.inference.predict import predict
from detkit.inference.sources import open_sources


class Colours:
    """Finds as many things in a picture as its brightness says, at places that depend on its batch."""

    classes = ("thing",)

    def __init__(self):
        self.seen = 0

    @property
    def reload(self):
        return Colours

    def detect(self, images, batch_size=8, threshold=0.0):
        self.seen += len(images)
        mean = np.mean([image.mean() for image in images]) / 1000
        return [self._found(image, mean) for image in images]

    def _found(self, image, mean: float) -> Detections:
        n = int(image.mean()) // 40
        boxes = np.tile([0.1, 0.1, 0.5 + mean, 0.5], (n, 1))
        return Detections(boxes, np.linspace(0.9, 0.5, n), [0] * n, self.classes, image.shape[:2])


@pytest.fixture
def workers(monkeypatch):
    """Shards done here, the last one first; gives the list of those that were done."""
    done = []

    def work(missing, job, running):
        worker = ray_engine.Worker(job, missing)
        for number in reversed(range(len(missing))):
            result = worker({"shard": np.array([number])})
            assert result["error"] == [""]
            done.append(missing[number])
            yield missing[number], result["found"][0]

    monkeypatch.setattr(ray_engine, "work", work)
    monkeypatch.setattr(ray_engine, "require_ray", lambda: None)
    return done


@pytest.fixture
def sources(make_video, make_images) -> list[Path]:
    photos = make_images("photos", ["x.png", "y.png", "z.png"])
    folder = make_images("frames", [f"{n}.png" for n in range(9)])
    return [make_video("a.mp4", frames=50), *sorted(photos.iterdir()), folder, make_video("b.mkv", frames=30)]


@pytest.mark.parametrize("options", [
    {}, {"stride": 3}, {"start": "0.3", "stop": 1}, {"sample_rate": "10"}, {"roi": "0,0,0.5,1", "track": True},
], ids=str)  # fmt: skip
def test_results_equal_those_of_one_process(sources, workers, tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    options |= {"batch_size": 4}
    detector = Colours()
    expected = predict(detector, sources, "one/", json="one.json", resume=True, **options)
    here = Colours()
    summary = predict(here, sources, "many/", json="many.json", engine="ray", shard=0.3, **options)
    assert here.seen == 0 and len(workers) > 5
    assert (summary.frames, summary.detections) == (expected.frames, expected.detections) and expected.detections > 50
    assert Path("one.json").read_bytes() == Path("many.json").read_bytes()
    one, many = ({path.name: path.read_bytes() for path in Path(folder).rglob("*.*")} for folder in ("one", "many"))
    assert_same(many, one)
    assert not list(tmp_path.glob("*.journal"))


def test_what_is_done_is_not_done_again(sources, workers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    work = ray_engine.work

    def breaking(missing, job, running):
        for count, pair in enumerate(work(missing, job, running)):
            if count == 5:
                raise ConfigError("broken")
            yield pair

    monkeypatch.setattr(ray_engine, "work", breaking)
    with pytest.raises(ConfigError, match="broken"):
        predict(Colours(), sources, json="out.json", engine="ray", shard=0.3, batch_size=4)
    first, workers[:] = list(workers), []
    monkeypatch.setattr(ray_engine, "work", work)
    predict(Colours(), sources, json="out.json", engine="ray", shard=0.3, batch_size=4)
    again = {(s.unit, s.part) for s in first[:5]} & {(s.unit, s.part) for s in workers}
    assert not again and len(first) + len(workers) > 10
    predict(Colours(), sources, json="one.json", batch_size=4, resume=True)
    assert Path("one.json").read_bytes() == Path("out.json").read_bytes()


def test_broken_sources_are_told_of_as_in_one_process(make_video, make_images, workers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("broken.mp4").write_bytes(b"no video")
    folder = make_images("frames", [f"{n}.png" for n in range(10)])
    (folder / "7.png").write_bytes(b"no image")
    summary = predict(Colours(), ["broken.mp4", folder, make_video("a.mp4")], json="out.json", engine="ray", shard=0.1)
    assert summary.skipped == (Path("broken.mp4"), folder / "7.png") and summary.frames == 9 + 12
    Path("other.mp4").write_bytes(b"")
    names = [entry["file_name"] for entry in json.loads(Path("out.json").read_text())]
    assert "8.png" in names and "a.mp4" in names


def test_a_video_is_cut_between_frames_into_whole_batches(make_video):
    (source,) = open_sources([make_video("a.mp4", frames=50, rate=Fraction(30000, 1001))])
    pieces = shards.plan([source], batch_size=4, seconds=Fraction(1, 2))
    frames = [[frame.index for frame in piece.sources[0][1].frames()] for piece in pieces]
    assert [len(piece) for piece in frames] == [16, 16, 16, 2] and sum(frames, []) == list(range(50))
    reading = Reading(start=Fraction(1, 2), stride=3)
    (source,) = open_sources([source.path], reading)
    frames = [[f.index for f in p.sources[0][1].frames()] for p in shards.plan([source], 4, Fraction(1, 2))]
    assert [len(piece) for piece in frames] == [8, 4] and sum(frames, []) == list(range(15, 50, 3))


def test_a_detector_that_workers_can_not_load_is_refused(make_video, detector, workers):
    with pytest.raises(ConfigError, match="can't be sent to other processes"):
        predict(detector, make_video("a.mp4"), json="out.json", engine="ray")


def test_files_that_a_worker_does_not_find_are_told(make_video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a worker changes its directory
    sources = open_sources([make_video("a.mp4")])
    pieces = shards.plan(sources, 4, Fraction(60))
    worker = ray_engine.Worker(ray_engine.Job(Colours, lambda detector: (None, None), 4, str(tmp_path)), pieces)
    sources[0].path.unlink()
    (error,) = worker({"shard": np.array([0])})["error"]
    assert "A worker does not find this file" in error and "same path" in error


def test_without_ray_the_engine_is_refused(make_video, monkeypatch):
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'detkit\[ray\]'"):
        predict(Colours(), make_video("a.mp4"), json="out.json", engine="ray")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_a_cluster_that_does_not_answer_is_told_of_at_once(address):
    with pytest.raises(ConfigError, match="Can't reach Ray") as caught:
        ray_engine.check_reachable(address)
    assert f"--address {address}" in str(caught.value) and "ray start --head" in str(caught.value)

"""`detkit demo`: five photos of a thing that no detector knows, and a minute later a detector for it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from detkit import api, io
from detkit.data.synthesis import boats
from detkit.visualize.draw import draw, draw_truth
from detkit.visualize.sheet import contact_sheet, save

STEPS, FRAMES, RATE, SURE = 80, 40, Fraction(20), 0.5


def demo(output, seed: int = 0) -> str:
    """Draws photos and a clip, fine-tunes `hands` on the photos, measures, and detects in the clip.

    Args:
        output: the directory for everything.
        seed: draws other photos.

    Returns:
        A summary of what was made, with what to do next.

    Raises:
        ConfigError: if the directory can't be written.
    """
    output = io.make_directory(output)
    train, test = boats.few_shot_set(output / "photos", seed=seed)
    run = api.finetune("hands", train, test=test, output=output / "run", steps=STEPS, seed=seed, overwrite=True)
    clip = output / "clip.mp4"
    _write_clip(clip, seed)
    summary = api.predict(run.detector, clip, output / "clip.detected.mp4", threshold=SURE)
    _sheet(train, test, run.detector, output / "contact_sheet.png")
    text = _summary(output, run.metrics, summary)
    with io.atomic_write(output / "summary.txt") as file:
        file.write(text + "\n")
    return text


def _write_clip(path: Path, seed: int) -> None:
    from detkit.inference.sources import Frame
    from detkit.inference.video_sink import video

    with video(path, RATE) as write:
        for index, (picture, _) in enumerate(boats.clip(seed=seed, frames=FRAMES)):
            write(Frame(path, picture, index, index / RATE), None, picture)


def _sheet(train, test, detector, path: Path) -> None:
    """One picture: the five photos with their boxes, then what was found in photos that were not trained on."""
    truth = [draw_truth(example.pixels(), example, train.classes) for example in train]
    shown = test[:10]
    pixels = [example.pixels() for example in shown]
    found = [draw(image, each, threshold=SURE) for image, each in zip(pixels, detector.detect(pixels), strict=True)]
    captions = ["trained on"] * len(truth) + ["found"] * len(found)
    save(contact_sheet([*truth, *found], columns=5, captions=captions), path)


def _summary(output: Path, metrics: dict, summary) -> str:
    return "\n".join(
        [
            f"Five photos, {metrics['steps']} steps, {metrics['seconds']:.0f} s of training and measuring:",
            f"  AP {metrics['AP']:.3f}, AP50 {metrics['AP50']:.3f} on photos that were not trained on",
            f"  {summary.frames} video frames at {summary.frames_per_second:.1f} frames per second",
            f"  {output / 'contact_sheet.png'}: the photos, and what was found in others",
            f"  {output / 'clip.detected.mp4'}: the clip with the detections",
            f"  {output / 'run'}: the detector, a model directory",
            "Next, with your own photos (COCO JSON or Pascal VOC):",
            "  detkit check photos/train.json",
            "  detkit train pipelines/few_shot.yaml --set data.train=photos/train.json --output runs/mine",
            "  detkit predict runs/mine walk.mp4",
        ]
    )

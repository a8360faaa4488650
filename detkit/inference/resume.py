"""What a run keeps on disk to be resumed, or to be done by several machines."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detkit.errors import ConfigError
from detkit.inference.journal import Detect, Journal, remove_leftovers
from detkit.inference.options import Settings
from detkit.inference.outputs import Outputs, Target
from detkit.inference.sources import Frame, Source


class Run(NamedTuple):
    """A run as far as it is still to be done.

    Attributes:
        outputs: what is to be written.
        read: gives the frames of a source.
        detect: frames -> results.
        journal: what remembers both; None if nothing does.
        written: what was written before.
    """

    outputs: Outputs
    read: Callable[[Source], Iterator[Frame]]
    detect: Detect
    journal: Journal | None = None
    written: tuple[Path, ...] = ()

    def finish(self) -> None:
        """Forgets what was kept: the run is done."""
        if self.journal:
            self.journal.remove()


def prepare(detector, make: Callable, sources: Sequence[Source], outputs: Outputs, chosen: Settings) -> Run:
    """The run that is to be done, of all that was asked for.

    Args:
        detector: what detects.
        make: detector -> its predictor, and the function frames -> results.
        sources: what is read.
        outputs: everything that is to be written.
        chosen: the options; with `resume` a journal is kept beside the first output, and continued. With `engine` ray
            all that the model finds is found before this returns.

    Raises:
        ConfigError: if the journal is of another run, or a source can't be resumed.
    """
    job = _job(detector, make) if chosen.running.engine == "ray" else None
    compiled, detect = make(detector)
    if not chosen.running.keeps:
        return Run(outputs, methodcaller("frames"), detect)
    targets = [target for source in sources for target in outputs.own.get(source, ())]
    remove_leftovers(file for target in (*targets, *outputs.shared) for file in target.files)
    first = (*outputs.shared, *targets)[0].path
    journal = Journal(
        first.with_name(f"{first.name}.journal"), sources, _identity(detector, compiled, chosen), compiled.batch_size
    )
    if job:
        from detkit.inference import ray_engine

        ray_engine.complete(journal, sources, replace(job, batch_size=compiled.batch_size), chosen.running)
    needs_images = bool(chosen.writing.crops)
    done = [s for s in sources if journal.is_finished(s, bool(outputs.own.get(s)) or needs_images)]
    own = {source: () if source in done else _noted(outputs.own.get(source, ()), journal, source) for source in sources}
    written = tuple(target.path for source in done for target in outputs.own.get(source, ()))
    read = partial(_frames, journal, set(map(id, done)))
    return Run(Outputs(own, outputs.shared), read, partial(journal.detect, detect=detect), journal, written)


def _job(detector, make: Callable):
    """What workers of Ray need to know; ConfigError if they could not load the detector."""
    from detkit.inference import ray_engine

    ray_engine.require_ray()
    load = getattr(_inner(detector), "reload", None)
    if load is None:
        raise ConfigError(
            "This detector can't be sent to other processes.",
            got=type(detector).__name__,
            expected="one that detkit.load gave, by name or from a directory",
            fix="Save it, and load it from there.",
        )
    return ray_engine.Job(load, make, 1, os.getcwd())


def _frames(journal: Journal, done: set[int], source: Source) -> Iterator[Frame]:
    return journal.recalled(source) if id(source) in done else journal.decoded(source)


def _noted(targets: Sequence[Target], journal: Journal, source: Source) -> tuple[Target, ...]:
    """The targets of a source, of which the one that is closed last notes in the journal that all are written."""
    if not targets:
        return ()
    return replace(targets[0], open=partial(_noting, targets[0].open, journal, source)), *targets[1:]


@contextmanager
def _noting(open_sink: Callable, journal: Journal, source: Source):
    with open_sink() as write:
        yield write
    journal.note_written(source)


def _identity(detector, compiled, chosen: Settings) -> dict[str, str]:
    """What the results depend on, in words."""
    groups = (chosen.reading, chosen.writing, chosen.detecting, chosen.tracking)
    options = {field.name: str(getattr(group, field.name)) for group in groups for field in fields(group)}
    return {"model": fingerprint(detector), "batches": f"{compiled.runtime}, {compiled.batch_size}"} | options


def fingerprint(detector) -> str:
    """A short text that differs for detectors of another kind, with other classes or with other weights."""
    detector = _inner(detector)
    digest = hashlib.sha256(",".join(detector.classes).encode())
    variables = detector.variables() if callable(getattr(detector, "variables", None)) else {}
    for path, variable in sorted(variables.items()):
        digest.update(path.encode() + np.ascontiguousarray(variable).tobytes())
    return f"{type(detector).__name__} {digest.hexdigest()[:16]}"


def _inner(detector):
    """The detector itself, where a predictor made of it is given."""
    return getattr(detector, "detector", detector)

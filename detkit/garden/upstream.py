"""Model Garden itself, imported here and nowhere else, without its messages."""

from __future__ import annotations

import importlib
import logging
import random
import sys
import warnings
from contextlib import contextmanager, nullcontext
from functools import cache
from types import ModuleType

NOISY = ("absl", "tensorflow")  # loggers


@contextmanager
def quiet():
    """No warnings and no messages below errors inside the `with` block."""
    loggers = [logging.getLogger(name) for name in NOISY]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def seeded(seed: int):
    """The initialisers of tf_keras draw the same values every time inside the `with` block."""
    before = random.getstate()
    random.seed(seed)  # where they get the seeds from that they are not given
    try:
        yield
    finally:
        random.setstate(before)


@contextmanager
def replaced(module, name: str, value):
    """A module of theirs has another value under a name inside the `with` block."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def seeds_kept():
    """Making a YOLO's task sets no seeds of the process inside the `with` block."""
    ops = sys.modules.get("official.projects.yolo.ops.preprocessing_ops")
    return replaced(ops, "set_random_seeds", lambda seed: None) if ops else nullcontext()


@cache
def module(name: str) -> ModuleType:
    """A module of tf-models-official, such as "vision.configs.retinanet", or "tf_keras"."""
    with quiet():
        # Never tensorflow_models, which imports everything there is.
        return importlib.import_module(name if name == "tf_keras" else f"official.{name}")

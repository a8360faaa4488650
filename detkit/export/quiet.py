"""Converters talk a lot, past Python's logging too."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

TALKATIVE = ("tensorflow", "tf2onnx")


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, nothing below an error is logged or warned of, and nothing reaches the process's stderr."""
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    levels = [logger.level for logger in loggers]
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the calibration uses an interpreter that is said to be deprecated
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

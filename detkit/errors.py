"""What detkit raises. A message says what, where, got and expected, and what to do next."""

from __future__ import annotations


class DetkitError(Exception):
    """An error that a user can act on.

    Args:
        what: what is wrong, one sentence.
        where: the file, image, box index or config path it concerns.
        got: what was found there.
        expected: what would have been right.
        fix: what to do next.
    """

    def __init__(self, what: str, *, where=None, got=None, expected=None, fix: str | None = None):
        parts = {"where": where, "got": got, "expected": expected, "fix": fix}
        lines = [what] + [f"  {name}: {value}" for name, value in parts.items() if value is not None]
        super().__init__("\n".join(lines))
        self.what, self.where, self.got, self.expected, self.fix = what, where, got, expected, fix


class ConfigError(DetkitError):
    """A pipeline, a pipeline.config or an argument that detkit can't accept."""


class DataError(DetkitError):
    """Images, annotations or label maps that can't be used as they are."""


class CheckpointError(DetkitError):
    """A checkpoint that can't be read, or that leaves something unexplained in a restore."""


class MediaError(DetkitError):
    """An image or a video that can't be decoded or written."""

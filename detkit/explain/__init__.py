"""Why a model says what it says: maps over the picture, and figures that compare them.

This module can be called: `detkit.explain(model, images)` is `detkit.explain.run.explain`.
"""

from __future__ import annotations

import sys
import types


class _Explain(types.ModuleType):
    """A module that is a function, too: the room and its one entry have the same name."""

    def __call__(self, model, images, output=None, **options):
        """Shows which parts of pictures a model's answers come from; see `detkit.explain.run.explain`."""
        from detkit.explain.run import explain

        return explain(model, images, output, **options)


sys.modules[__name__].__class__ = _Explain

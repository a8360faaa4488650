"""Taking a model elsewhere: frozen graphs, and the formats that other runtimes read.

The room and the function have one name, so this module can be called: `detkit.export(...)` is `detkit.api.export`.
"""

from __future__ import annotations

import importlib
import sys
import types


class _Callable(types.ModuleType):
    def __call__(self, *arguments, **options):
        """As `detkit.api.export`."""
        return importlib.import_module("detkit.api").export(*arguments, **options)


sys.modules[__name__].__class__ = _Callable

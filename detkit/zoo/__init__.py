"""What can be loaded by name: the catalogue, the download, the cache."""

from __future__ import annotations

from detkit.zoo.catalogue import Entry, entries, find
from detkit.zoo.store import cache_directory, fetch, is_fetched, model_directory

__all__ = ["Entry", "cache_directory", "entries", "fetch", "find", "is_fetched", "model_directory"]

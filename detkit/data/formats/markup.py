"""Annotations in XML: read through defusedxml, with errors one can act on."""

from __future__ import annotations

import codecs
from pathlib import Path

from detkit.errors import DataError


def parse(file: Path, tag: str, what: str):
    """The root of an XML file; DataError if it is damaged, dangerous, or has another root than `tag`."""
    from defusedxml import DefusedXmlException, ElementTree

    try:
        root = ElementTree.fromstring(file.read_bytes())
    except DefusedXmlException as error:
        raise DataError(
            "This XML file declares entities and was not read.",
            where=file,
            got=str(error),
            expected="plain XML",
            fix=f"{what} files need no entities: don't trust it, or remove the declaration.",
        ) from error
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
        raise DataError(
            "This is not valid XML.",
            where=file,
            got=str(error),
            expected=f"a {what} annotation",
            fix="Export it again, or delete it.",
        ) from error
    if root.tag != tag:
        raise DataError(
            f"This XML file is no {what} annotation.",
            where=file,
            got=f"<{root.tag:.40}>",
            expected=f"<{tag}>",
            fix="Move it out of the folder.",
        )
    return root


def head(file: Path) -> bytes:
    """The first bytes of a file, text without its byte order mark and as UTF-8; none if it can't be read."""
    try:
        with file.open("rb") as opened:
            start = opened.read(4096)
    except OSError:
        return b""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return start.decode("utf-16", "replace").encode()
    return start.removeprefix(codecs.BOM_UTF8)

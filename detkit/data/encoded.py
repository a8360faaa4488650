"""Pictures that lie inside other files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from detkit.errors import MediaError
from detkit.io import unreadable


@dataclass(frozen=True)
class EncodedImage:
    """A picture's bytes inside a file, read on demand.

    Attributes:
        file: the file.
        offset: where in the file the picture's bytes begin.
        length: how many bytes they are.
        name: the file name that the picture had, or shall have.
    """

    file: Path
    offset: int
    length: int
    name: str

    def __str__(self) -> str:
        return f"{self.file}, picture {self.name or 'at byte ' + str(self.offset)}"

    def read(self) -> bytes:
        """The picture's bytes; MediaError if the file is gone or has become shorter."""
        try:
            with open(self.file, "rb") as file:
                file.seek(self.offset)
                content = file.read(self.length)
        except OSError as error:
            raise MediaError("Can't open this picture.", **unreadable(Path(self.file), error)) from error
        if len(content) < self.length:
            raise MediaError(
                "The file that holds this picture has changed.",
                where=str(self),
                got=f"{len(content)} bytes",
                expected=f"{self.length} bytes",
                fix="Read the dataset again.",
            )
        return content

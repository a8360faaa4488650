"""Protobuf text format, read and written without a schema: pipeline.config files and label maps.

The grammar is that of https://protobuf.dev/reference/protobuf/textformat-spec. What only a schema can tell
is told by the way of writing: `1` is an int, `1.0` a float, `true` and `t` a bool, `inf` and `nan` a float,
any other bare word an `Enum`.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple, NoReturn

from detkit.errors import ConfigError
from detkit.pipeline.message import FALSE, NAME, NOT_FINITE, TRUE, Enum, Field, Message, Source

__all__ = ["Enum", "Field", "Message", "Source", "dumps", "loads", "read"]

MAX_DEPTH = 100  # messages within messages; the deepest known pipeline.config has 11

_TOKEN = re.compile(
    r"""(?P<blank>(?:\s|\#[^\n]*)+)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>\.?[0-9](?:[eE][+-](?=[0-9])|[\w.])*)
    |(?P<word>[A-Za-z_]\w*)
    |(?P<symbol>[{}<>\[\]:;,./-])
    |(?P<bad>.)""",
    re.ASCII | re.VERBOSE | re.DOTALL,
)
_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,16}")
_OCTAL = re.compile(r"0[0-7]{1,22}")
_DECIMAL = re.compile(r"0|[1-9][0-9]*")
_FLOAT = re.compile(r"((?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fF]?")
_ESCAPE = re.compile(
    rb"\\(?:(?P<octal>[0-7]{1,3})|[xX](?P<hex>[0-9a-fA-F]{1,2})"
    rb"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})|(?P<plain>.))",
    re.DOTALL,
)
_PLAIN = dict(zip(b"abfnrtv?\\'\"", b"\a\b\f\n\r\t\v?\\'\"", strict=True))
_WRITTEN = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_CLOSING = {"{": "}", "<": ">"}


class _Token(NamedTuple):
    kind: str  # string, number, word, symbol, bad or end
    text: str
    offset: int


def loads(text: str, source: str = "<string>") -> Message:
    """The message that a text holds.

    Args:
        text: protobuf text format.
        source: what to call the text in messages, usually its path.

    Raises:
        ConfigError: naming line and column, with the offending line, what was got and what was expected.

    Example:
        >>> loads('item { id: 1 name: "duck" }').find("item.name")
        'duck'
    """
    place = Source(str(source), text.removeprefix("\ufeff"))
    return _Parser(place).message(closing=None, depth=0)


def read(path: str | Path) -> Message:
    """The message that a file holds.

    Raises:
        ConfigError: if the file can't be read, isn't UTF-8 text, or isn't protobuf text format.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except OSError as error:
        raise ConfigError("The file can't be read.", where=path, got=error.strerror) from None
    except ValueError as error:  # not UTF-8, or a null character in the path
        raise ConfigError("The file isn't text.", where=path, got=error, expected="UTF-8 text") from None
    return loads(text, str(path))


def dumps(message: Message) -> str:
    """The canonical text of a message: one field a line, two spaces of indent, `loads(dumps(m)) == m`.

    Raises:
        ConfigError: if messages are nested too deep.
    """
    return "".join(f"{line}\n" for line in _lines(message, 0))


class _Parser:
    """A recursive descent over the tokens, one method a rule of the grammar."""

    def __init__(self, source: Source):
        self.source = source
        self.tokens = [
            _Token(match.lastgroup, match.group(), match.start())
            for match in _TOKEN.finditer(source.text)
            if match.lastgroup != "blank"
        ]
        self.tokens.append(_Token("end", "", len(source.text)))
        self.index = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.index]

    def take(self) -> _Token:
        token = self.next
        self.index += token.kind != "end"
        return token

    def skip(self, *symbols: str) -> bool:
        """Whether the next token is one of these symbols, which is then taken."""
        found = self.next.kind == "symbol" and self.next.text in symbols
        self.index += found
        return found

    def fail(self, expected: str, token: _Token | None = None) -> NoReturn:
        token = token or self.next
        got = "the end of the text" if token.kind == "end" else repr(token.text)
        if token.kind == "bad" and token.text in "\"'":
            got = "a string that isn't closed on its line"
        self.error(got, expected, token.offset)

    def error(self, got: str, expected: str, offset: int) -> NoReturn:
        raise ConfigError(
            "This isn't protobuf text format.", where=self.source.where(offset), got=got, expected=expected
        )

    def message(self, closing: str | None, depth: int) -> Message:
        """Fields up to the closing bracket, or to the end of the text if there is none to wait for."""
        if depth > MAX_DEPTH:
            self.error(f"messages nested {depth} deep", f"at most {MAX_DEPTH}", self.next.offset)
        fields = []
        while not self.skip(closing) if closing else self.next.kind != "end":
            fields += self.field(f"a field name or '{closing}'" if closing else "a field name", depth)
            self.skip(";", ",")
        return Message(fields)

    def field(self, expected: str, depth: int) -> list[Field]:
        start = self.next.offset
        if self.skip("["):
            name = self.extension()
        elif self.next.kind == "word":
            name = self.take().text
        else:
            self.fail(expected)
        colon = self.skip(":")
        return [Field(name, value, self.source, start) for value in self.values(colon, depth)]

    def extension(self) -> str:
        """The name of an extension or the type URL of an Any, after its opening bracket."""
        start, parts = self.next, []
        while self.next.kind in ("word", "number") or self.next.text in (".", "/", "-"):
            parts.append(self.take().text)
        if not self.skip("]"):
            self.fail("']' after the name of an extension")
        name = f"[{''.join(parts)}]"
        if not NAME.fullmatch(name):
            self.fail("the name of an extension", start)
        return name

    def values(self, colon: bool, depth: int) -> list:
        if not self.skip("["):
            return [self.value(colon, depth)]
        if self.skip("]"):
            return []
        values = [self.value(colon, depth)]
        while self.skip(","):
            values.append(self.value(colon, depth))
        if not self.skip("]"):
            self.fail("',' or ']'")
        return values

    def value(self, colon: bool, depth: int):
        token = self.next
        if self.skip("{", "<"):
            return self.message(_CLOSING[token.text], depth + 1)
        if not colon:
            self.fail("':', '{' or '<' after a field name")
        return self.scalar()

    def scalar(self) -> bool | int | float | str:
        if self.next.kind == "string":
            return self.string()
        negative = self.skip("-")
        token = self.take()
        if token.kind == "number":
            return self.number(token, negative)
        if token.kind == "word" and token.text.lower() in NOT_FINITE:
            return -float(token.text) if negative else float(token.text)
        if token.kind == "word" and not negative:
            return _word(token.text)
        return self.fail("a number" if negative else "a value", token)

    def number(self, token: _Token, negative: bool) -> int | float:
        value = self.magnitude(token)
        value = -value if negative else value
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            # A decimal integer beyond 64 bits can only stand for a float.
            return float(value)
        return value

    def magnitude(self, token: _Token) -> int | float:
        if len(token.text) <= 24:  # 64 bits in octal; int() refuses thousands of digits
            for pattern, base in ((_HEX, 16), (_OCTAL, 8), (_DECIMAL, 10)):
                if pattern.fullmatch(token.text):
                    return int(token.text, base)
        if found := _FLOAT.fullmatch(token.text):
            return float(found.group(1))
        self.fail("a number", token)

    def string(self) -> str:
        """One or more adjacent strings; escaped bytes that aren't UTF-8 are kept as surrogate escapes."""
        content = b""
        while self.next.kind == "string":
            content += self.unescape(self.take())
        return content.decode("utf-8", "surrogateescape")

    def unescape(self, token: _Token) -> bytes:
        def replace(match: re.Match) -> bytes:
            replaced = _unescaped(match)
            if replaced is None:
                self.error(match.group().decode("utf-8", "replace"), "an escape sequence", token.offset)
            return replaced

        try:
            inner = token.text[1:-1].encode("utf-8", "surrogateescape")
            # A pair of \u escapes may stand for one character beyond 16 bits; it has to be joined first.
            return _ESCAPE.sub(replace, _join_surrogates(inner))
        except UnicodeEncodeError:
            self.error(token.text.encode("ascii", "backslashreplace").decode(), "Unicode text", token.offset)


def _word(text: str) -> bool | str:
    return text in TRUE if text in TRUE + FALSE else Enum(text)


def _unescaped(match: re.Match) -> bytes | None:
    """The bytes of an escape sequence, None if it is not one."""
    if octal := match["octal"]:
        return bytes([int(octal, 8)]) if int(octal, 8) < 256 else None
    if match["hex"]:
        return bytes([int(match["hex"], 16)])
    if code := match["short"] or match["long"]:
        number = int(code, 16)
        valid = number <= 0x10FFFF and not 0xD800 <= number < 0xE000
        return chr(number).encode() if valid else None
    plain = _PLAIN.get(match["plain"][0])
    return None if plain is None else bytes([plain])


def _join_surrogates(text: bytes) -> bytes:
    def join(match: re.Match) -> bytes:
        if not match["high"]:
            return match.group()
        high, low = int(match["high"], 16), int(match["low"], 16)
        return b"\\U%08x" % (0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)

    pair = rb"\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    return re.sub(pair + rb"|\\.", join, text, flags=re.DOTALL)


def _lines(message: Message, depth: int):
    if depth > MAX_DEPTH:
        raise ConfigError("Messages are nested too deep to be written.", expected=f"at most {MAX_DEPTH}")
    indent = "  " * depth
    for field in message:
        if isinstance(field.value, Message):
            yield f"{indent}{field.name} {{"
            yield from _lines(field.value, depth + 1)
            yield f"{indent}}}"
        else:
            yield f"{indent}{field.name}: {_scalar_text(field.value)}"


def _scalar_text(value: bool | int | float | str) -> str:
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, str):
        return f'"{"".join(map(_character, value))}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else str(float(value))
    return str(int(value))


def _character(character: str) -> str:
    if character in _WRITTEN:
        return _WRITTEN[character]
    if "\ud800" <= character <= "\udfff" or not character.isprintable():
        return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))
    return character

"""Protobuf text format: the grammar, its errors, and that writing and reading are inverse."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detkit.errors import ConfigError
from detkit.pipeline.message import FALSE, NOT_FINITE, TRUE, Enum, Message
from detkit.pipeline.text_format import MAX_DEPTH, dumps, loads, read


@pytest.mark.parametrize(
    "text, value",
    [
        ("17", 17),
        ("-17", -17),
        ("- 17", -17),
        ("0x1F", 31),
        ("-0X1f", -31),
        ("017", 15),
        ("0", 0),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", float(2**64)),
        ("9" * 5000, math.inf),
        ("1.0", 1.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e-8", 1e-8),
        ("8E+2", 800.0),
        ("1.0f", 1.0),
        ("10F", 10.0),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("true", True),
        ("t", True),
        ("False", False),
        ("RELU_6", Enum("RELU_6")),
        ('"a#b"', "a#b"),
        ("'it\"s'", 'it"s'),
        ('"a" \'b\'\n# comment\n"c"', "abc"),
        (r'"\n\t\"\'\\\?\a"', "\n\t\"'\\?\a"),
        (r'"\101\x42\u00e9\U0001F986"', "ABé🦆"),
        (r'"\303\251\xC3\xA9"', "éé"),
        (r'"\ud83e\udd86 \\ud83e"', "🦆 \\ud83e"),
        ('"é"', "é"),
    ],
)
def test_scalars(text, value):
    field = loads(f"field: {text}").field("field")
    assert field.value == value
    assert type(field.value) is type(value)


def test_nan_is_read_and_equals_itself_in_messages():
    assert math.isnan(loads("x: nan").get("x"))
    assert loads("x: nan") == loads("x: -nan") != loads("x: 1.0")


def test_equality_tells_types_apart():
    assert loads("x: 1") != loads("x: 1.0")
    assert loads("x: 1") != loads("x: true")
    assert loads("x: A") != loads('x: "A"')


@pytest.mark.parametrize(
    "text",
    [
        "a { b: 1 } a { b: 2 }",
        "a: { b: 1 }, a: < b: 2 >;",
        "a<b:1>a<b:2;>",
        "a [ { b: 1 }, < b: 2 > ]",
        "a: [{ b: 1, }, { b: 2 }]",
        "# first\na {\r\n  b: 1 # one\r\n}\ta { b: 2 }",
        "\ufeffa { b: 1 } a { b: 2 }",
    ],
)
def test_messages_may_be_written_in_many_ways(text):
    one, two = Message([("b", 1)]), Message([("b", 2)])
    assert loads(text) == Message([("a", one), ("a", two)])


def test_lists_are_repeated_fields():
    assert loads("a: [1.0, 2.0] b: [] a: 3.0").all("a") == [1.0, 2.0, 3.0]


def test_extensions_and_type_urls_are_names():
    message = loads("[ my.pkg.ext ] { a: 1 } [type.googleapis.com/my.Any] { b: 2 }")
    assert [field.name for field in message] == ["[my.pkg.ext]", "[type.googleapis.com/my.Any]"]
    assert loads(dumps(message)) == message


@pytest.mark.parametrize(
    "text, place, got, expected",
    [
        ("a {\n  b 1\n}", "2:5", "'1'", "':', '{' or '<' after a field name"),
        ("a {\n  b: 1\n", "3:1", "the end of the text", "a field name or '}'"),
        ("a < b: 1 }", "1:10", "'}'", "a field name or '>'"),
        ("}", "1:1", "'}'", "a field name"),
        ("a: 1 = 2", "1:6", "'='", "a field name"),
        ("a: 08", "1:4", "'08'", "a number"),
        ("a: 1.2.3", "1:4", "'1.2.3'", "a number"),
        ("a: 12px", "1:4", "'12px'", "a number"),
        ("a: -x", "1:5", "'x'", "a number"),
        ("a: [1, 2", "1:9", "the end of the text", "',' or ']'"),
        ("a: [1, ]", "1:8", "']'", "a value"),
        ('a: "x\n"', "1:4", "a string that isn't closed on its line", "a value"),
        (r'a: "\q"', "1:4", r"\q", "an escape sequence"),
        (r'a: "\400"', "1:4", r"\400", "an escape sequence"),
        (r'a: "\ud800"', "1:4", r"\ud800", "an escape sequence"),
        ("[a.] { }", "1:2", "'a'", "the name of an extension"),
        ("a: 99999999999999999999999999999x", "1:4", "'99999999999999999999999999999x'", "a number"),
    ],
)
def test_errors_point_at_the_mistake(text, place, got, expected):
    with pytest.raises(ConfigError) as caught:
        loads(text, "x.config")
    error = caught.value
    assert error.where.splitlines()[0] == f"x.config:{place}"
    assert (error.got, error.expected) == (got, expected)


def test_an_error_shows_the_line_with_a_caret():
    with pytest.raises(ConfigError) as caught:
        loads("model {\n\tssd: = 3\n}", "pipeline.config")
    assert str(caught.value).splitlines() == [
        "This isn't protobuf text format.",
        "  where: pipeline.config:2:7",
        "     ssd: = 3",
        "          ^",
        "  got: '='",
        "  expected: a value",
    ]


def test_fields_know_their_place_and_what_was_made_does_not():
    message = loads("a: 1\n  b { c: 2 }", "f")
    field = message.locate("b.c")
    assert (field.line, field.column) == (2, 7)
    assert field.where.startswith("f:2:7\n")
    assert Message([("c", 2)]).field("c").line is None


def test_the_message_interface():
    message = loads("a: 1 b: 2 a: 3 c { d: 4 }")
    assert message.get("a") == 3 and message.get("z", 7) == 7
    assert message.all("a") == [1, 3]
    assert "b" in message and "z" not in message
    assert message.find("c.d") == 4
    assert message.find("c.x", 5) == 5 and message.find("a.d") is None
    copy = message.copy()
    copy.set("a", 9)
    copy.message("c").set("d", [5, 6])
    copy.message("new").add("e", Enum("X"))
    assert dumps(copy) == "a: 9\nb: 2\nc {\n  d: 5\n  d: 6\n}\nnew {\n  e: X\n}\n"
    assert message.all("a") == [1, 3]
    copy.remove("a")
    assert "a" not in copy


def test_what_could_not_be_read_back_is_not_built():
    for name in ("has space", "true", "nan", ""):
        with pytest.raises(ConfigError, match="enum value"):
            Enum(name)
    for field in [("no name", 1), ("a", None), ("a", 2**64), ("a", [1])]:
        with pytest.raises(ConfigError):
            Message([field])


def test_nesting_is_bounded():
    deep = "a {" * MAX_DEPTH + "}" * MAX_DEPTH
    assert loads(dumps(loads(deep))) == loads(deep)
    for text in ("a {" * 100_000, "a: [" * 100_000, "a <" * (MAX_DEPTH + 1)):
        with pytest.raises(ConfigError):
            loads(text)
    message = Message()
    for _ in range(MAX_DEPTH + 1):
        message = Message([("a", message)])
    with pytest.raises(ConfigError, match="too deep"):
        dumps(message)


def test_unreadable_files(tmp_path):
    with pytest.raises(ConfigError, match="can't be read"):
        read(tmp_path / "none.config")
    with pytest.raises(ConfigError, match="can't be read"):
        read(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="isn't text"):
        read(tmp_path / "binary")


def test_every_reference_file_survives(shared):
    files = [*shared.glob("golden/configs/*"), *shared.glob("golden/zoo_index/*.config")]
    files += [*shared.glob("data/raccoon/training/*.config"), *shared.glob("data/**/*.pbtxt")]
    files += shared.glob("models/*/pipeline.config")
    assert len(files) >= 46
    for path in files:
        message = read(path)
        assert len(message) and loads(dumps(message)) == message, path


names = st.from_regex(r"[A-Za-z_]\w{0,8}", fullmatch=True).filter(str.isascii)
enums = names.filter(lambda n: n not in TRUE + FALSE and n.lower() not in NOT_FINITE).map(Enum)
bits = st.integers(-(2**63), 2**64 - 1)
scalars = st.booleans() | bits | st.floats() | st.text() | enums
messages = st.recursive(
    st.lists(st.tuples(names, scalars), max_size=4).map(Message),
    lambda inner: st.lists(st.tuples(names, scalars | inner), max_size=4).map(Message),
    max_leaves=12,
)


@settings(deadline=None)
@given(messages)
def test_writing_and_reading_are_inverse(message):
    assert loads(dumps(message)) == message


@settings(deadline=None)
@given(st.binary())
def test_bytes_survive_in_strings(content):
    message = Message([("data", content.decode("utf-8", "surrogateescape"))])
    assert loads(dumps(message)) == message


pieces = st.sampled_from(
    list("{}<>[]:;,-.#/\"'\\\n =") + ["a", "b1", "inf", "true", "0x", "1e", "08", "\\u12", "\\777", "\ud800"]
)


@settings(deadline=None)
@given(st.text() | st.lists(pieces, max_size=30).map("".join))
def test_any_text_is_a_message_or_a_config_error(text):
    try:
        message = loads(text)
    except ConfigError:
        return
    assert loads(dumps(message)) == message

"""Lists and tables as text."""

from __future__ import annotations

from detkit.text import aligned, some


def test_a_long_list_is_cut():
    assert some(["duck"]) == "duck" and some([]) == ""
    assert some("abcde") == "a, b, c, d, e"
    assert some("abcdefg") == "a, b, c, d, e and 2 more"
    assert some("abc", most=1) == "a and 2 more"


def test_columns_are_aligned():
    assert aligned([["", "images"], ["duck", "12"], ["x", ""]]) == "      images\nduck      12\nx"

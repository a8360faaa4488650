"""Class maps drawn on images, and how images are fitted into a sheet."""

from __future__ import annotations

import numpy as np
import pytest

from detkit.visualize.figure import draw_class_map
from detkit.visualize.palette import colour
from detkit.visualize.sheet import contact_sheet, fitted, layout, shortened

GREY = np.full((60, 80, 3), 100, np.uint8)


@pytest.mark.parametrize("scale", [1, 2, 0.5])
def test_classes_are_tinted_and_the_background_is_left(scale):
    semantic = np.zeros((int(60 * scale), int(80 * scale)), np.uint8)
    height, width = semantic.shape
    semantic[: height // 2, : width // 2] = 3
    semantic[height // 2 :, width // 2 :] = 255
    drawn = draw_class_map(GREY, semantic)
    assert (drawn[:30, :40] == np.rint(60 + 0.4 * np.array(colour(2)))).all()
    assert (drawn[30:, :40] == 100).all() and (drawn[:30, 40:] == 100).all()
    assert (drawn[30:, 40:] < 50).all()
    assert (GREY == 100).all()


def test_every_value_of_a_class_map_can_be_drawn():
    semantic = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = np.full((16, 16, 3), 255, np.uint8)
    drawn = draw_class_map(image, semantic)
    assert drawn.dtype == np.uint8 and (drawn[0, 0] == 255).all()
    assert (drawn.reshape(-1, 3)[1:255] != 255).any(axis=1).all()


@pytest.mark.parametrize(
    "sizes, columns, expected",
    [
        ([(60, 80)] * 16, None, (4, (292, 390))),
        ([(60, 80)], 5, (1, (1188, 1584))),
        ([(80, 60)] * 4, 2, (2, (1051, 788))),
    ],
)
def test_layout_is_that_of_the_contact_sheet(sizes, columns, expected):
    found, cell = layout(sizes, columns)
    assert (found, cell) == expected
    sheet = contact_sheet([np.zeros((*size, 3), np.uint8) for size in sizes], columns)
    assert sheet.shape == (-(-len(sizes) // found) * (cell[0] + 8) + 8, 1600, 3)


@pytest.mark.parametrize(
    "cell, size", [((30, 40), (30, 40)), ((30, 400), (30, 40)), ((600, 80), (60, 80)), ((1, 1), (1, 1))]
)
def test_fitted_keeps_the_proportions(cell, size):
    assert fitted(GREY, cell).shape == (*size, 3)


@pytest.mark.parametrize(
    "text, length, short", [("duck", 4, "duck"), ("ducks", 4, "du…s"), ("abcdefghij", 7, "abcd…ij"), ("", 4, "")]
)
def test_shortened_keeps_both_ends(text, length, short):
    assert shortened(text, length) == short

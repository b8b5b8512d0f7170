"""Sessions against a runner that only takes notes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest

from medprism.core.concepts import ConceptTable
from medprism.core.errors import InternalError
from medprism.core.image import Image
from medprism.data.store import SliceStore
from medprism.evaluation.answerer import Answerer
from medprism.evaluation.bench.official.process import Answer, RunnerError
from medprism.evaluation.bench.official.sessions import (
    ClickedSession,
    OfficialSession,
    SpacedReader,
    in_colour,
    in_grey,
)
from medprism.evaluation.cases import StoreReader
from tests.evaluation.phantoms import changed

SHAPE = (5, 8)
RNG = np.random.default_rng(3)


@dataclass
class Notes:
    """Answers every request with the same array, and remembers them."""

    array: np.ndarray | None = None
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    arrays: list[np.ndarray] = field(default_factory=list)

    def ask(self, do: str, array: np.ndarray | None = None, **details: object) -> Answer:
        self.asked.append((do, details))
        if array is not None:
            self.arrays.append(array)
        return {}, self.array


def picture(value: int = 0) -> Image:
    return Image.from_array(np.full(SHAPE, value, np.uint8))


def test_an_image_is_opened_once_and_clicks_are_forgotten_every_time() -> None:
    notes = Notes(np.ones(SHAPE, bool))
    session = ClickedSession(notes, in_grey)
    assert isinstance(session, Answerer)
    for image in (picture(1), picture(1), picture(2), picture(1)):
        session.set_image(image)
    assert [do for do, _ in notes.asked] == [
        *("image", "start"),
        "start",
        *("image", "start"),
        *("image", "start"),
    ]
    assert [int(array[0, 0]) for array in notes.arrays] == [1, 2, 1]


def test_a_click_goes_out_as_row_and_col_and_the_mask_comes_back() -> None:
    mask = RNG.random(SHAPE) > 0.5
    notes = Notes(mask)
    session = ClickedSession(notes, in_grey)
    session.set_image(picture())
    found = session.add_point_interaction((4, 7), include_interaction=False, label="x")
    assert found is mask
    assert notes.asked[-1] == ("click", {"row": 4, "col": 7, "is_positive": False})
    assert session.presence("x") is None


@pytest.mark.parametrize(
    "answer", [None, np.zeros(SHAPE, np.uint8), np.zeros(SHAPE[::-1], bool), np.zeros((1, 5, 8))]
)
def test_what_is_no_mask_of_the_image_is_refused(answer: np.ndarray | None) -> None:
    session = ClickedSession(Notes(answer), in_grey)
    session.set_image(picture())
    with pytest.raises(RunnerError, match="is no mask of"):
        session.add_point_interaction((0, 0), include_interaction=True, label="x")


def test_a_session_that_cannot_be_asked_so_says_it_is_our_mistake() -> None:
    session = OfficialSession(Notes(), ConceptTable(()))
    image = picture()
    for ask in (
        lambda: session.set_image(image),
        lambda: session.set_references([image], [np.ones(SHAPE, bool)], "x"),
        lambda: session.predict(classes=["liver"]),
        lambda: session.add_point_interaction((0, 0), include_interaction=True, label="x"),
    ):
        with pytest.raises(InternalError):
            ask()


def test_colours_and_brightness_are_those_of_opencv() -> None:
    rgb = RNG.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    colour = Image.from_array(rgb)
    np.testing.assert_array_equal(in_colour(colour), rgb)
    expected = cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2GRAY)
    np.testing.assert_allclose(in_grey(colour), expected, atol=1e-3)
    grey = Image.from_array(rgb[..., 0])
    assert in_grey(grey).dtype == np.float32
    np.testing.assert_array_equal(in_grey(grey), rgb[..., 0])
    np.testing.assert_array_equal(in_colour(grey), cv2.cvtColor(rgb[..., 0], cv2.COLOR_GRAY2RGB))


def test_spacing_is_that_of_stored_pixels_where_it_is_known(scenes: SliceStore) -> None:
    number = next(n for n, row in enumerate(scenes.rows) if row.case_id == "f")
    assert not SpacedReader(scenes).image(number).geometry.is_physical
    height, width, _ = scenes.rows[number].shape
    shrunk = {"spacing": (0.5, 0.25), "source_shape": (2 * height, 3 * width)}
    spaced = changed(scenes, f=shrunk)
    image, plain = SpacedReader(spaced).image(number), StoreReader(scenes).image(number)
    assert image.geometry.is_physical
    assert image.geometry.spacing == pytest.approx((1.0, 1.0, 0.75))
    np.testing.assert_array_equal(image.voxels, plain.voxels)
    assert image.modality == plain.modality

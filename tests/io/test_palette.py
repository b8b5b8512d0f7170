from __future__ import annotations

import itertools

import numpy as np
import pytest
from skimage.color import rgb2lab

from medprism.io.palette import PALETTE, colour

# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def seen(colours: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return Lab colours as an eye with the deficiency sees them."""
    srgb = colours / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    changed = np.clip(linear @ np.asarray(matrix).T, 0, 1)
    back = np.where(changed <= 0.0031308, changed * 12.92, 1.055 * changed ** (1 / 2.4) - 0.055)
    return rgb2lab(back)


def nearest(colours: np.ndarray, deficiency: str) -> float:
    lab = seen(colours, np.asarray(DEFICIENCIES[deficiency]))
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(lab, 2))


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_the_first_colours_stay_apart_for_every_eye(deficiency: str) -> None:
    assert nearest(PALETTE[1:8].astype(float), deficiency) > 10


def test_the_measure_finds_a_bad_palette() -> None:
    bad = np.array([[200.0, 80.0, 40.0], [110.0, 125.0, 30.0]])
    assert nearest(bad, "none") > 40
    assert nearest(bad, "deutan") < 20


def test_all_256_differ_and_background_is_black() -> None:
    assert PALETTE.shape == (256, 3)
    assert len(np.unique(PALETTE, axis=0)) == 256
    assert PALETTE[0].tolist() == [0, 0, 0]
    assert not PALETTE.flags.writeable


def test_the_colours_are_pinned() -> None:
    assert PALETTE[[1, 8, 255]].tolist() == [[230, 159, 0], [23, 61, 153], [174, 255, 128]]


def test_numbers_above_255_begin_again_without_black() -> None:
    assert [colour(n) for n in (255, 256, 510, 511)] == [
        tuple(PALETTE[row].tolist()) for row in (255, 1, 255, 1)
    ]
    assert colour(0) == (0, 0, 0)

"""GrabCut from clicks [GrabCut]: Gaussian mixtures of colour and a graph cut, by OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from medprism.core.errors import ConfigError
from medprism.core.prompt import Click, Mask2d
from medprism.evaluation.baselines.seeds import by_sign, distance_to, shrink


@dataclass(frozen=True, kw_only=True)
class GrabCutSettings:
    """How clicks become the first guess; lengths are shares of the image's long side.

    `disk`: radius around a click that is surely what the click says. `reach`: farther than this
    from every positive click is probably background. `rounds` of the algorithm are run, on an image
    whose long side is at most `long_side` pixels.
    """

    disk: float = 0.03
    reach: float = 0.05
    rounds: int = 3
    long_side: int = 256

    def __post_init__(self) -> None:
        if not 0 <= self.disk <= self.reach or min(self.rounds, self.long_side) < 1:
            raise ConfigError(
                f"GrabCut disk {self.disk} must be in 0..reach ({self.reach}), rounds "
                f"{self.rounds} and long side {self.long_side} at least 1"
            )


def grabcut(
    image: UInt8[np.ndarray, "height width channels"],
    clicks: Sequence[Click],
    settings: GrabCutSettings | None = None,
) -> Mask2d:
    """Segment an 8-bit image from clicks; without a positive click nothing is found.

    Pixels nearer to a positive click than to any negative one, and within reach, are probably
    foreground at first. Deterministic.
    """
    settings = settings or GrabCutSettings()
    scene = shrink(image, clicks, settings.long_side)
    guess = first_guess(scene.clicks, scene.shape, settings)
    if _is_mixed(guess):
        small = scene.image
        colours = np.repeat(small, 3, axis=2) if small.shape[2] == 1 else small
        # The mixtures start from k-means, which draws from OpenCV's own generator.
        cv2.setRNGSeed(0)
        background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(
            np.ascontiguousarray(colours),
            guess,
            (0, 0, 0, 0),
            background,
            foreground,
            settings.rounds,
            cv2.GC_INIT_WITH_MASK,
        )
    return scene.lift(_is_foreground(guess).astype(np.float32))


def first_guess(
    clicks: Sequence[Click], shape: tuple[int, int], settings: GrabCutSettings
) -> UInt8[np.ndarray, "height width"]:
    """Return OpenCV's four codes: sure disks around clicks, the rest by distance."""
    long_side = max(shape)
    positive, negative = by_sign(clicks)
    inside, outside = distance_to(positive, shape), distance_to(negative, shape)
    near = (inside <= settings.reach * long_side) & (inside < outside)
    guess = np.where(near, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    radius = settings.disk * long_side
    guess[(inside <= radius) & (inside < outside)] = cv2.GC_FGD
    guess[(outside <= radius) & (outside <= inside)] = cv2.GC_BGD
    return guess


def _is_foreground(guess: UInt8[np.ndarray, "height width"]) -> Mask2d:
    return np.asarray((guess == cv2.GC_FGD) | (guess == cv2.GC_PR_FGD))


def _is_mixed(guess: UInt8[np.ndarray, "height width"]) -> bool:
    found = _is_foreground(guess)
    return bool(found.any() and not found.all())

"""Sessions of official packages: the protocols drive them as they drive ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Shaped, UInt8

from medprism.core.concepts import ConceptTable
from medprism.core.errors import InternalError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.core.prompt import Mask2d
from medprism.evaluation.baselines.clicked import eight_bit
from medprism.evaluation.bench.official.process import UNREADABLE, Answer, RunnerError
from medprism.evaluation.cases import StoreReader

# Of red, green and blue in brightness (ITU-R BT.601).
_BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)


@runtime_checkable
class Asks(Protocol):
    """Who passes a request on to a package: a `RunnerProcess`."""

    def ask(
        self, do: str, array: Shaped[np.ndarray, "..."] | None = None, **details: object
    ) -> Answer:
        """Return the answer to a request."""


@dataclass(frozen=True)
class KnownConcepts:
    """What a package knows by name."""

    concepts: ConceptTable


@dataclass(frozen=True, eq=False)
class OfficialMask:
    """A mask of a package, which gives no score that a structure is there."""

    mask: Bool[np.ndarray, "height width"]
    presence: float | None = None


class OfficialSession:
    """What all packages have in common: no references, no scores; each adds what it can."""

    def __init__(self, runner: Asks, concepts: ConceptTable) -> None:
        self.model = KnownConcepts(concepts)
        self._runner = runner

    def set_image(self, image: Image) -> None:
        """Open an image; nothing is left of what was said about the one before."""
        raise InternalError("a session must say how it opens an image")

    def set_references(self, images: Sequence[Image], masks: Sequence[Mask2d], label: str) -> None:
        """Refuse: no protocol of an official package shows references."""
        raise InternalError(f"an official package was shown references of {label}")

    def predict(
        self, labels: Sequence[str] | None = None, classes: Sequence[str] | None = None
    ) -> Mapping[str, OfficialMask]:
        """Refuse, unless a package knows classes."""
        raise InternalError(f"an official package without classes was asked for {classes}")

    def add_point_interaction(
        self, coordinates: tuple[int, int], include_interaction: bool, label: str
    ) -> Mask2d:
        """Refuse, unless a package takes clicks."""
        raise InternalError(f"an official package without clicks was clicked at {coordinates}")

    def presence(self, label: str) -> float | None:
        """Return None: packages give no such score."""
        return None


class ClickedSession(OfficialSession):
    """A package that takes clicks; an image that was opened before is not encoded again."""

    def __init__(self, runner: Asks, picture: Callable[[Image], np.ndarray]) -> None:
        super().__init__(runner, ConceptTable(()))
        self._picture = picture
        self._open: tuple[str, tuple[int, ...]] = ("", ())

    def set_image(self, image: Image) -> None:
        """Open an image, without clicks."""
        if self._open[0] != image.digest:
            self._open = ("", ())
            self._runner.ask("image", self._picture(image))
            self._open = (image.digest, image.shape)
        self._runner.ask("start")

    def add_point_interaction(
        self, coordinates: tuple[int, int], include_interaction: bool, label: str
    ) -> Mask2d:
        """Click at (row, col); return the mask of all clicks since the image was set.

        Raises:
            RunnerError: the answer is no mask of the image.
        """
        row, col = coordinates
        _, found = self._runner.ask(
            "click", row=int(row), col=int(col), is_positive=bool(include_interaction)
        )
        if found is None or found.dtype != np.bool_ or found.shape != self._open[1]:
            raise RunnerError(f"{describe(found)} is no mask of {self._open[1]}", UNREADABLE)
        return found


class SpacedReader(StoreReader):
    """The store's slices with the distance of their pixels in mm, where the store knows it."""

    def image(self, number: int) -> Image:
        """Return the stored pixels of a row on their grid."""
        image, row = super().image(number), self._store.rows[number]
        if row.spacing is None:
            return image
        affine = image.geometry.affine.copy()
        # Spacing is that of the slice's own grid, which the store may have shrunk.
        for axis in (0, 1):
            stretch = row.source_shape[axis] / row.shape[axis]
            affine[:, axis + 1] *= row.spacing[axis] * stretch
        return image.replace(geometry=Geometry(image.geometry.shape, affine))


def in_colour(image: Image) -> UInt8[np.ndarray, "height width 3"]:
    """Return a picture as bytes of red, green and blue; grey is repeated."""
    pixels = eight_bit(image)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def in_grey(image: Image) -> Float32[np.ndarray, "height width"]:
    """Return the intensities of a picture as they are, of colours their brightness.

    >>> in_grey(Image.from_array(np.full((2, 3, 3), 100, np.uint8)))[0, 0].item()
    100.0
    """
    plane = image.voxels[0].astype(np.float32)
    return np.asarray(plane @ _BRIGHTNESS if image.is_rgb else plane[..., 0])


def describe(array: Shaped[np.ndarray, "..."] | None) -> str:
    """Say what an array is, for messages.

    >>> describe(np.zeros((2, 3), np.int32)), describe(None)
    ('an array of int32 (2, 3)', 'nothing')
    """
    return "nothing" if array is None else f"an array of {array.dtype} {array.shape}"

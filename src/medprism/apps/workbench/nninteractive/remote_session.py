"""One client's array with what was said about it, in the axes that the client uses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool

from medprism.core.errors import ConflictError, ImageReadError, PromptError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.core.prompt import bounding_box
from medprism.engines.loaded import LoadedModel
from medprism.inference.memory import Memory
from medprism.inference.session import Session

LABEL: Final = "object"
# A spacing counts as clearly the largest if it is above the next one by this factor.
_CLEARLY: Final = 1.5
BUFFERS: Final = frozenset({"bool", "uint8", "uint16", "int16", "int32", "float32"})

Volume = Bool[np.ndarray, "x y z"]
Ranges = list[list[int]]


@dataclass(frozen=True, eq=False)
class Change:
    """What an interaction changed in the client's buffer: the region and its new content."""

    is_done: bool
    ranges: Ranges | None = None
    content: np.ndarray | None = None


class RemoteSession:
    """A session of the client's array (C, X, Y, Z); coordinates are the client's (x, y, z).

    The model sees slices along one axis: the one with a single entry, else the one whose spacing
    is clearly the largest, else the first.
    """

    def __init__(self, model: LoadedModel, memory: Memory) -> None:
        self.lock = threading.RLock()
        self.wants_zoom = True
        self._model = model
        self._memory = memory
        self._session: Session | None = None
        self._axis = 0
        self._shape = (0, 0, 0)
        self._dtype: np.dtype[Any] | None = None
        self._shown: Volume = np.zeros((0, 0, 0), bool)
        # How many steps of our session each interaction took.
        self._steps: list[int] = []

    def set_image(self, array: np.ndarray, properties: Mapping[str, Any]) -> tuple[int, ...]:
        """Open an array and return its shape.

        Raises:
            ImageReadError: not four axes, or neither one nor three channels.
        """
        if array.ndim != 4 or array.shape[0] not in (1, 3):
            raise ImageReadError(
                f"image has shape {array.shape}; it must be (C, X, Y, Z) with 1 or 3 channels"
            )
        space = (int(array.shape[1]), int(array.shape[2]), int(array.shape[3]))
        axis = slice_axis(space, properties.get("spacing"))
        voxels = np.moveaxis(np.moveaxis(_as_number(array), 0, -1), axis, 0)
        shape = (int(voxels.shape[0]), int(voxels.shape[1]), int(voxels.shape[2]))
        image = Image(np.ascontiguousarray(voxels), Geometry.pixels(shape), is_planar=False)
        session = Session(self._model, auto_zoom=self.wants_zoom, memory=self._memory)
        session.set_image(image)
        self._session, self._axis, self._shape = session, axis, space
        self._shown, self._dtype, self._steps = np.zeros(space, bool), None, []
        return (int(array.shape[0]), *space)

    def set_target_buffer(self, shape: Sequence[int], dtype: str) -> None:
        """Note the type of the buffer that the client keeps.

        Raises:
            PromptError: another shape than the image, or a type that cannot hold a mask.
        """
        if tuple(shape) != self._shape:
            raise PromptError(
                f"target buffer has shape {list(shape)} but the image {list(self._shape)}; they "
                "must be equal"
            )
        if dtype not in BUFFERS:
            raise PromptError(
                f"a target buffer of {dtype[:20]!r} is not taken; use one of "
                f"{', '.join(sorted(BUFFERS))}"
            )
        self._dtype = np.dtype(dtype)
        self._shown = np.zeros(self._shape, bool)

    def add_point(self, coordinates: Sequence[float], *, include: bool, runs: bool) -> Change:
        """Click at (x, y, z)."""
        place = self._turned(list(coordinates), "coordinates")
        return self._do(
            lambda session: session.add_point_interaction(
                place, include, LABEL, run_prediction=runs
            ),
            runs=runs,
        )

    def add_box(self, ranges: Ranges, *, include: bool, runs: bool) -> Change:
        """Draw a box [[x1, x2], [y1, y2], [z1, z2]], half open, on one slice."""
        turned = self._turned(ranges, "bbox_coords")
        if len(turned[0]) != 2 or turned[0][1] - turned[0][0] != 1:
            raise PromptError(
                f"the box covers {turned[0]} along axis {self._axis}, the slice axis; a box acts "
                "on one slice of it"
            )
        return self._do(
            lambda session: session.add_bbox_interaction(
                turned, include, LABEL, run_prediction=runs
            ),
            runs=runs,
        )

    def add_drawing(
        self, kind: str, drawn: np.ndarray, box: Ranges | None, *, include: bool, runs: bool
    ) -> Change:
        """Draw a scribble or a lasso; with `box` the array is that part of the volume alone."""
        stack = np.moveaxis(self._whole(drawn, box), self._axis, 0)

        def draw(session: Session) -> None:
            is_lasso = kind == "lasso"
            add = Session.add_lasso_interaction if is_lasso else Session.add_scribble_interaction
            add(session, stack, include, LABEL, run_prediction=runs)

        return self._do(draw, runs=runs)

    def add_initial(self, mask: np.ndarray, *, runs: bool) -> Change:
        """Start from a mask; what was said before is forgotten. The client shows it by itself."""
        whole = self._whole(mask, None)
        stack = np.moveaxis(whole, self._axis, 0)

        def give(session: Session) -> None:
            session.reset_interactions()
            session.add_initial_seg_interaction(stack, LABEL)

        self._do(give, runs=False)
        self._shown = whole.copy()
        return self.predict() if runs else Change(is_done=False)

    def predict(self) -> Change:
        """Ask the model with everything that was said."""
        session = self._open()
        if LABEL not in session.labels:
            return Change(is_done=False)
        return self._do(lambda session: session.predict(labels=[LABEL]), runs=True)

    def reset(self) -> None:
        """Forget everything that was said."""
        self._do(Session.reset_interactions, runs=False)
        self._shown = np.zeros(self._shape, bool)

    def undo(self) -> Change:
        """Take the last interaction back."""
        session = self._open()
        if not self._steps:
            return Change(is_done=False)
        for _ in range(self._steps.pop()):
            session.undo()
        return self._difference()

    def _do(self, change: Callable[[Session], object], *, runs: bool) -> Change:
        session = self._open()
        before = len(session.log)
        try:
            change(session)
        except BaseException:
            for _ in range(len(session.log) - before):
                session.undo()
            raise
        self._steps.append(len(session.log) - before)
        return self._difference() if runs else Change(is_done=False)

    def _difference(self) -> Change:
        """Return the region in which the mask is not what the client shows."""
        session = self._open()
        present = np.zeros(self._shape, bool)
        if LABEL in session.labels:
            present = np.moveaxis(session.mask(LABEL), 0, self._axis)
        changed = present != self._shown
        self._shown = present.copy()
        if self._dtype is None or not changed.any():
            return Change(is_done=True)
        flat = bounding_box(list(changed))
        where = np.flatnonzero(changed.any((1, 2)))
        if flat is None:
            return Change(is_done=True)
        top, left, bottom, right = flat
        ranges = [[int(where[0]), int(where[-1]) + 1], [top, bottom], [left, right]]
        part = present[tuple(slice(low, high) for low, high in ranges)]
        return Change(is_done=True, ranges=ranges, content=part.astype(self._dtype))

    def _whole(self, drawn: np.ndarray, box: Ranges | None) -> Volume:
        self._open()
        if box is None:
            if drawn.shape != self._shape:
                raise PromptError(
                    f"the array has shape {list(drawn.shape)} but the image {list(self._shape)}"
                )
            return np.asarray(drawn != 0)
        is_inside = len(box) == 3 and all(
            len(one) == 2 and 0 <= one[0] < one[1] <= side
            for one, side in zip(box, self._shape, strict=True)
        )
        if not is_inside or tuple(high - low for low, high in box) != drawn.shape:
            raise PromptError(
                f"interaction_bbox {box} with an array of shape {list(drawn.shape)}; it must lie "
                f"inside {list(self._shape)} and have the array's shape"
            )
        whole = np.zeros(self._shape, bool)
        whole[tuple(slice(low, high) for low, high in box)] = drawn != 0
        return whole

    def _turned(self, values: list[Any], what: str) -> list[Any]:
        """Return what is given along (x, y, z) with the slice axis in front."""
        self._open()
        if len(values) != 3:
            raise PromptError(f"{what} has {len(values)} entries; give one an axis, three in all")
        others = [value for axis, value in enumerate(values) if axis != self._axis]
        return [values[self._axis], *others]

    def _open(self) -> Session:
        if self._session is None:
            raise ConflictError("no image is open; call set_image first")
        return self._session


def slice_axis(shape: tuple[int, int, int], spacing: object) -> int:
    """Return the axis whose slices the model sees.

    >>> slice_axis((200, 180, 40), [0.7, 0.7, 5.0]), slice_axis((40, 180, 200), None)
    (2, 0)
    """
    if 1 in shape:
        return shape.index(1)
    try:
        lengths = [float(one) for one in spacing] if isinstance(spacing, list) else []
    except (TypeError, ValueError):
        lengths = []
    if len(lengths) == 3 and all(np.isfinite(lengths)):
        smaller, largest = sorted(lengths)[1:]
        if largest > _CLEARLY * smaller > 0:
            return lengths.index(largest)
    return 0


def _as_number(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    return array.astype(np.float32) if array.dtype == np.float16 else array

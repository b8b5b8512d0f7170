"""What a batch run writes about one image: mask, probability, overlay, all on its own grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from medprism.core.errors import InternalError, WriteError
from medprism.core.image import Image
from medprism.core.labels import LabelMap, Labels
from medprism.inference.session import Session
from medprism.io.overlay import overlay
from medprism.io.writer import (
    MASK_WRITERS,
    PROBABILITY_WRITERS,
    write_png,
    write_probability,
)


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The files wanted; only the mask is a must.

    A probability file holds one label: with several, the label's name is put before the suffix.
    """

    mask: Path
    probability: Path | None = None
    overlay: Path | None = None
    priority: tuple[str, ...] = ()

    def check(self, image: Path) -> None:
        """Refuse, before any work, what could not be written afterwards or would be overwritten.

        Raises:
            WriteError: an unknown suffix, a missing folder, or the image's own path.
        """
        _check_path(self.mask, tuple(MASK_WRITERS), image)
        if self.probability is not None:
            _check_path(self.probability, tuple(PROBABILITY_WRITERS), image)
        if self.overlay is not None:
            _check_path(self.overlay, (".png",), image)

    def write(self, session: Session) -> LabelMap:
        """Write all labels of the session's image; return what the mask file holds.

        Raises:
            WriteError: no space or no permission.
            LabelError: a name in `priority` that is no label of the image.
        """
        written = session.write_mask(self.mask, priority=self.priority)
        if self.probability is not None:
            self._write_probabilities(session, self.probability)
        if self.overlay is not None:
            write_png(self.overlay, draw_overlay(session))
        return written

    def _write_probabilities(self, session: Session, path: Path) -> None:
        image = _image_of(session)
        for label in session.labels:
            target = path if len(session.labels) == 1 else _with_label(path, label)
            write_probability(target, session.probability(label), image)


def draw_overlay(
    session: Session, slice_index: int | None = None, labels: tuple[str, ...] | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """Return a slice of the open image as RGB, with labels (default: all) and clicks over it.

    Without an index the slice with most of the labels; without any label found, one that was
    clicked on, else the middle one.
    """
    image = _image_of(session)
    labels = session.labels if labels is None else labels
    planes = Labels({name: session.mask(name) for name in labels})
    index = _telling_slice(session, image, planes) if slice_index is None else slice_index
    clicks = [click for name in labels for click in session.interactions(name, index).clicks]
    return overlay(image, planes, index, clicks)


def _telling_slice(session: Session, image: Image, planes: Labels) -> int:
    areas = np.zeros(image.num_slices, np.int64)
    for _, plane in planes:
        areas += image.to_stack(plane).sum((1, 2))
    if areas.any():
        return int(areas.argmax())
    marked = (
        index
        for index in range(image.num_slices)
        for name in planes.names
        if session.interactions(name, index)
    )
    return next(marked, image.num_slices // 2)


def suffix_of(path: Path, known: tuple[str, ...]) -> str | None:
    """Return the longest of the known suffixes that a file name ends with, None without one.

    >>> suffix_of(Path("scan.NII.gz"), (".gz", ".nii.gz"))
    '.nii.gz'
    """
    name = path.name.lower()
    return max((suffix for suffix in known if name.endswith(suffix)), key=len, default=None)


def _check_path(path: Path, known: tuple[str, ...], image: Path) -> None:
    if suffix_of(path, known) is None:
        raise WriteError(
            f"cannot write {path}: its suffix is not among {', '.join(known)}; choose one of them"
        )
    if not path.parent.is_dir():
        raise WriteError(
            f"cannot write {path}: there is no folder {path.parent}; make it or choose another one"
        )
    if path.resolve() == image.resolve():
        raise WriteError(
            f"{path} is the image itself; choose another name, it is never overwritten"
        )


def _with_label(path: Path, label: str) -> Path:
    suffix = suffix_of(path, tuple(PROBABILITY_WRITERS)) or ""
    safe = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in label)
    return path.with_name(f"{path.name[: -len(suffix)]}-{safe}{suffix}")


def _image_of(session: Session) -> Image:
    if session.image is None:
        raise InternalError("outputs of a session without an image")
    return session.image

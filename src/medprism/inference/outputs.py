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
from medprism.io.deidentify import Deidentifier
from medprism.io.overlay import overlay
from medprism.io.writer import (
    PROBABILITY_WRITERS,
    choose_format,
    suffix_of,
    write_png,
    write_probability,
)


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The files wanted; only the mask is a must.

    A probability file holds one label: with several, the label's name is put before the suffix.
    `format` is that of the mask, where its suffix does not say it; with `deidentify` it does not
    say who the image is of.
    """

    mask: Path
    probability: Path | None = None
    overlay: Path | None = None
    priority: tuple[str, ...] = ()
    format: str | None = None
    deidentify: Deidentifier | None = None

    def check(self, image: Path) -> None:
        """Refuse, before any work, what could not be written afterwards or would be overwritten.

        Raises:
            WriteError: an unknown suffix, a missing folder, or the image's own path.
        """
        choose_format(self.mask, self.format).check_target(self.mask)
        _check_path(self.mask, image)
        if self.probability is not None:
            _check_suffix(self.probability, tuple(PROBABILITY_WRITERS))
            _check_path(self.probability, image)
        if self.overlay is not None:
            _check_suffix(self.overlay, (".png",))
            _check_path(self.overlay, image)

    def check_image(self, image: Image) -> None:
        """Refuse, before any work, an image whose masks the format cannot hold.

        Raises:
            WriteError: a volume as PNG, RTSTRUCT of an image that is no DICOM, and the like.
            GeometryError: the DICOM files changed while they were read.
        """
        choose_format(self.mask, self.format).check(image)

    def write(self, session: Session) -> LabelMap:
        """Write all labels of the session's image; return what the mask file holds.

        Raises:
            WriteError: no space or no permission.
            LabelError: a name in `priority` that is no label of the image.
        """
        written = session.write_mask(
            self.mask, priority=self.priority, format=self.format, deidentify=self.deidentify
        )
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


def _check_suffix(path: Path, known: tuple[str, ...]) -> None:
    if suffix_of(path, known) is None:
        raise WriteError(
            f"cannot write {path}: its suffix is not among {', '.join(known)}; choose one of them"
        )


def _check_path(path: Path, image: Path) -> None:
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

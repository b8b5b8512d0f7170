"""A prompt as a client sends it, carried out on a session."""

from __future__ import annotations

from typing import Any

import numpy as np

from medprism.apps.workbench.schemas import (
    BoxPrompt,
    DrawnPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    Runs,
)
from medprism.apps.workbench.strokes import draw_line, fill_outline
from medprism.core.errors import LabelError, PromptError
from medprism.core.image import Image
from medprism.core.labels import decode_runs
from medprism.core.prompt import Mask2d
from medprism.inference.placement import place_slice
from medprism.inference.session import Session


def apply_prompt(session: Session, prompt: Prompt) -> None:
    """Carry out one prompt.

    Raises:
        PromptError: it lies outside the image, or covers no pixel.
        LabelError: the label is locked, or nothing can be erased from it.
        GeometryError: a mask of another shape than the slice.
    """
    match prompt:
        case PointPrompt():
            _point(session, prompt)
        case BoxPrompt():
            in_plane = [[prompt.top, prompt.bottom], [prompt.left, prompt.right]]
            ranges = _in_volume(session, prompt.slice, in_plane)
            session.add_bbox_interaction(
                ranges, prompt.is_positive, prompt.label, run_prediction=prompt.predict
            )
        case DrawnPrompt(kind="scribble" | "lasso"):
            is_lasso = prompt.kind == "lasso"
            add = Session.add_lasso_interaction if is_lasso else Session.add_scribble_interaction
            add(
                session,
                drawn_mask(prompt, _image(session)),
                prompt.is_positive,
                prompt.label,
                slice_index=prompt.slice,
                run_prediction=prompt.predict,
            )
        case DrawnPrompt():
            _edit(session, prompt)
        case MaskPrompt():
            mask = mask_of(prompt.mask, _image(session))
            session.add_initial_seg_interaction(mask, prompt.label, slice_index=prompt.slice)


def drawn_mask(prompt: DrawnPrompt, image: Image) -> Mask2d:
    """Return the pixels of a stroke or an outline.

    Raises:
        PromptError: it covers no pixel of the slice.
    """
    height, width = image.geometry.shape[1:]
    if prompt.mask is not None:
        drawn = mask_of(prompt.mask, image)
    elif prompt.kind == "lasso":
        drawn = fill_outline(prompt.points or [], (height, width))
    else:
        drawn = draw_line(prompt.points or [], prompt.radius, (height, width))
    if not drawn.any():
        raise PromptError(
            f"{prompt.kind} covers no pixel of the slice of {height} x {width}; draw inside it"
        )
    return drawn


def mask_of(runs: Runs, image: Image) -> Mask2d:
    """Return the mask of run lengths.

    Raises:
        LabelError: they do not add up to the slice.
    """
    height, width = image.geometry.shape[1:]
    if tuple(runs.shape) != (height, width):
        raise LabelError(
            f"mask has shape {list(runs.shape)} but the slice {[height, width]}; draw it on the "
            "slice's own grid"
        )
    return decode_runs(list(runs.runs), (height, width))


def _point(session: Session, prompt: PointPrompt) -> None:
    if prompt.world is not None:
        place: Any = list(prompt.world)
    elif prompt.row is None or prompt.col is None:
        raise PromptError("a point needs row and col (with slice in a volume), or world in mm")
    else:
        here = [prompt.row, prompt.col]
        place = here if _image(session).is_planar else [prompt.slice, *here]
        if _image(session).is_planar:
            place_slice(_image(session), prompt.slice)
    session.add_point_interaction(
        place,
        prompt.is_positive,
        prompt.label,
        world=prompt.world is not None,
        run_prediction=prompt.predict,
    )


def _edit(session: Session, prompt: DrawnPrompt) -> None:
    """Add a stroke to the mask, or take it away; later prompts refine what comes out."""
    at = place_slice(_image(session), prompt.slice)
    drawn = drawn_mask(prompt, _image(session))
    is_known = prompt.label in session.labels
    if not is_known and prompt.kind == "eraser":
        raise LabelError(
            f"there is no label {prompt.label!r} on this image yet; there is nothing to erase"
        )
    shown = session.annotation.mask_on(prompt.label, at) if is_known else None
    present = np.zeros_like(drawn) if shown is None else shown
    edited = present | drawn if prompt.kind == "brush" else present & ~drawn
    session.add_initial_seg_interaction(edited, prompt.label, slice_index=at)


def _in_volume(session: Session, slice_index: int, in_plane: list[list[float]]) -> Any:  # noqa: ANN401
    if _image(session).is_planar:
        place_slice(_image(session), slice_index)
        return in_plane
    return [[slice_index, slice_index + 1], *in_plane]


def _image(session: Session) -> Image:
    image = session.image
    if image is None:
        raise PromptError("no image is open")
    return image

"""Turn what a person said into what a model sees: point queries and two maps of marks.

Channel 0 of a map holds positive marks, channel 1 negative ones. Positions are (row, col) in
canvas pixels. In training clicks are marked in torch (`mark_points`); in a session all kinds of
interaction are placed on the canvas by `to_canvas`, which marks its clicks with the same formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from medprism.core.preprocess import Fit, place_mask
from medprism.core.prompt import (
    Box,
    Click,
    Interaction,
    Interactions,
    Lasso,
    Mask2d,
    Scribble,
    check_interaction,
)
from medprism.prompts.components import depth, inner_part

RADIUS: Final = 1.0
MAX_QUERIES: Final = 8
# Queries closer than this say nothing that the map beside them does not say.
MIN_SPREAD: Final = 2.0

Positions = Float32[np.ndarray, "points 2"]


@dataclass(frozen=True, eq=False)
class CanvasPrompt:
    """All interactions of one request on its canvas: two maps of marks and the point queries."""

    dense: Float32[np.ndarray, "2 height width"]
    position: Float32[np.ndarray, "points 2"]
    is_positive: Bool[np.ndarray, " points"]


def mark_points(
    position: Float[Tensor, "requests clicks 2"],
    is_positive: Bool[Tensor, "requests clicks"],
    valid: Bool[Tensor, "requests clicks"],
    height: int,
    width: int,
    radius: float = RADIUS,
) -> Float[Tensor, "requests 2 height width"]:
    """Mark each valid click by a disk of ones in the channel of its sign (0 positive, 1 negative).

    Positions are rounded to the nearest pixel first; a pixel at a distance of at most `radius`
    is marked, so radius 1 draws a cross of 5 pixels. Parts outside the map are cut off. Export
    safe: no indexing by values and no branch on them.

    >>> at = torch.tensor([[[2.0, 3.0], [0.0, 0.0]]])
    >>> sign = torch.tensor([[True, False]])
    >>> mark_points(at, sign, torch.ones_like(sign), 5, 6).sum((2, 3)).tolist()
    [[5.0, 3.0]]
    """
    nearest = torch.floor(position + 0.5)
    rows = torch.arange(height, dtype=position.dtype, device=position.device)
    cols = torch.arange(width, dtype=position.dtype, device=position.device)
    row_distance = (rows - nearest[..., :1]).square()
    col_distance = (cols - nearest[..., 1:]).square()
    inside = row_distance[..., :, None] + col_distance[..., None, :] <= radius * radius
    sign = torch.stack([is_positive & valid, ~is_positive & valid], dim=1).to(position.dtype)
    counts = sign @ rearrange(inside, "r n h w -> r n (h w)").to(position.dtype)
    # Under autocast the product is bfloat16; zeros and ones are exact in it.
    marks = counts.clamp(max=1).to(position.dtype)
    return rearrange(marks, "r c (h w) -> r c h w", h=height)


def to_canvas(interactions: Interactions, fit: Fit) -> CanvasPrompt:
    """Place interactions of any kind on a canvas.

    - A click: a disk and a query.
    - A scribble: its pixels (a thin line never vanishes) and up to 8 queries spread along it.
    - A positive box or lasso, "the structure is inside": an outline one pixel wide just outside
      the area as negative marks with up to 8 negative queries, and one positive query without a
      mark at the innermost point.
    - A negative box or lasso: the area as negative marks, up to 8 negative queries inside it.

    The maps do not depend on the order of the interactions; queries follow it.

    Raises:
        PromptError: an interaction that does not lie on the slice of `fit`.
    """
    dense = np.zeros((2, *fit.canvas), np.float32)
    positions: list[Positions] = [np.zeros((0, 2), np.float32)]
    signs: list[bool] = []
    for interaction in interactions.items:
        check_interaction(interaction, fit.source)
        for marks, queries, is_positive in _strokes(interaction, fit):
            channel = dense[0 if is_positive else 1]
            np.maximum(channel, marks, out=channel)
            positions.append(queries)
            signs += [is_positive] * len(queries)
    return CanvasPrompt(dense, np.concatenate(positions), np.asarray(signs, dtype=bool))


def pad_queries(
    prompts: Sequence[CanvasPrompt],
) -> tuple[
    Float[Tensor, "requests clicks 2"],
    Bool[Tensor, "requests clicks"],
    Bool[Tensor, "requests clicks"],
]:
    """Return position, is_positive and valid of all prompts, padded to the longest (at least 1).

    >>> one = CanvasPrompt(np.zeros((2, 4, 5), np.float32), np.ones((1, 2), np.float32),
    ...                    np.ones(1, bool))
    >>> none = CanvasPrompt(one.dense, one.position[:0], one.is_positive[:0])
    >>> pad_queries([one, none])[2].tolist()
    [[True], [False]]
    """
    length = max([1, *(len(prompt.position) for prompt in prompts)])
    position = torch.zeros(len(prompts), length, 2)
    is_positive = torch.zeros(len(prompts), length, dtype=torch.bool)
    valid = torch.zeros(len(prompts), length, dtype=torch.bool)
    for index, prompt in enumerate(prompts):
        count = len(prompt.position)
        position[index, :count] = torch.from_numpy(prompt.position)
        is_positive[index, :count] = torch.from_numpy(prompt.is_positive)
        valid[index, :count] = True
    return position, is_positive, valid


_Stroke = tuple[Float32[np.ndarray, "height width"], Positions, bool]


def _strokes(interaction: Interaction, fit: Fit) -> list[_Stroke]:
    """Return marks, queries and sign of everything an interaction says."""
    match interaction:
        case Click():
            return [_click_stroke(interaction, fit)]
        case Scribble(mask=mask, is_positive=is_positive):
            drawn = (place_mask(mask, fit) >= 0.5) | _mapped_pixels(mask, fit)
            return [(drawn.astype(np.float32), _spread(drawn), is_positive)]
        case Box(is_positive=is_positive) | Lasso(is_positive=is_positive):
            area = _canvas_area(interaction, fit)
            return _enclosure_strokes(area) if is_positive else [_excluded_stroke(area)]


def _click_stroke(click: Click, fit: Fit) -> _Stroke:
    row, col = fit.to_canvas(float(click.row), float(click.col))
    # Where a slice shrinks, the centre of an edge pixel maps to just outside the canvas.
    row = min(max(row, 0.0), fit.resized[0] - 1.0)
    col = min(max(col, 0.0), fit.resized[1] - 1.0)
    position = np.array([[row, col]], np.float32)
    yes = torch.ones(1, 1, dtype=torch.bool)
    marks = mark_points(torch.from_numpy(position)[None], yes, yes, *fit.canvas)
    return marks[0, 0].numpy(), position, click.is_positive


def _enclosure_strokes(area: Mask2d) -> list[_Stroke]:
    grown = cv2.dilate(area.view(np.uint8), np.ones((3, 3), np.uint8)).view(bool)
    outline = grown & ~area
    innermost = np.array([_innermost(area)], np.float32)
    return [
        (outline.astype(np.float32), _spread(outline), False),
        (np.zeros(area.shape, np.float32), innermost, True),
    ]


def _excluded_stroke(area: Mask2d) -> _Stroke:
    return area.astype(np.float32), _spread(inner_part(area)), False


def _canvas_area(enclosure: Box | Lasso, fit: Fit) -> Mask2d:
    if isinstance(enclosure, Lasso):
        mask = enclosure.mask
    else:
        mask = np.zeros(fit.source, bool)
        mask[enclosure.top : enclosure.bottom, enclosure.left : enclosure.right] = True
    area = place_mask(mask, fit) >= 0.5
    return area if area.any() else _mapped_pixels(mask, fit)


def _mapped_pixels(mask: Mask2d, fit: Fit) -> Bool[np.ndarray, "canvas_height canvas_width"]:
    """Return the canvas pixels that the centres of the mask's pixels fall into."""
    rows, cols = np.nonzero(mask)
    scale = fit.scale
    mapped = np.zeros(fit.canvas, bool)
    mapped[
        np.minimum(((rows + 0.5) * scale[0]).astype(np.int64), fit.resized[0] - 1),
        np.minimum(((cols + 0.5) * scale[1]).astype(np.int64), fit.resized[1] - 1),
    ] = True
    return mapped


def _innermost(area: Mask2d) -> tuple[float, float]:
    """Return the deepest pixel; of several, the one nearest to their centre."""
    distance = depth(area)
    deepest = np.argwhere(distance == distance.max())
    nearest = np.square(deepest - deepest.mean(0)).sum(1).argmin()
    return float(deepest[nearest, 0]), float(deepest[nearest, 1])


def _spread(region: Mask2d) -> Positions:
    """Return up to 8 pixels of a region that lie far apart, by farthest-point selection.

    The first is the pixel farthest from the region's first one, which on a line is an end.
    """
    pixels = np.argwhere(region).astype(np.float32)
    if len(pixels) == 0:
        return pixels
    chosen = [int(np.square(pixels - pixels[0]).sum(1).argmax())]
    nearest = np.square(pixels - pixels[chosen[0]]).sum(1)
    while len(chosen) < MAX_QUERIES and nearest.max() >= MIN_SPREAD**2:
        chosen.append(int(nearest.argmax()))
        np.minimum(nearest, np.square(pixels - pixels[chosen[-1]]).sum(1), out=nearest)
    return pixels[chosen]

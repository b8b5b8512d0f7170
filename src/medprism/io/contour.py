"""Outlines of masks along the edges of pixels, and polygons back to masks.

Outlines keep area, one-pixel structures and the mask itself: whether a pixel's centre lies inside
is decided half a pixel away from every edge. A hole is joined to the outline around it by a channel
of no width that is walked twice (the keyhole of DICOM PS3.3 C.8.8.6.3): one polygon says it all,
and every reader agrees, whether it fills by parity, by winding number or unites polygons.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int32

Mask2d = Bool[np.ndarray, "height width"]
Points = Float64[np.ndarray, "_ 2"]
# A corner of pixels: (row, col) counted in pixel edges, so pixel (0, 0) has corners (0..1, 0..1).
Corner: TypeAlias = tuple[int, int]
Loop: TypeAlias = list[Corner]

# Directions of travel with the inside on the right: right, down, left, up.
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def trace(mask: Mask2d) -> list[Points]:
    """Return one closed polygon per piece (4-connected), in (row, col) of pixel centres.

    The first point is not repeated at the end. Holes are joined by keyholes.

    >>> trace(np.array([[False, True]]))[0].tolist()
    [[-0.5, 0.5], [-0.5, 1.5], [0.5, 1.5], [0.5, 0.5]]
    """
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    loops = _loops(mask, np.asarray(pieces, np.int32))
    return [
        np.array(_simplify(_with_keyholes(outer, holes)), np.float64) - 0.5
        for outer, holes in loops
    ]


def fill(polygons: Sequence[Points], height: int, width: int) -> Mask2d:
    """Return the pixels whose centres lie inside an odd number of polygons.

    Points are (row, col) of pixel centres; a centre on an edge belongs to the side below or right.

    >>> square = np.array([[-0.5, 0.5], [-0.5, 1.5], [0.5, 1.5], [0.5, 0.5]])
    >>> fill([square], 1, 3).tolist()
    [[False, True, False]]
    """
    crossings = np.zeros((height, width + 1), np.int32)
    for points in polygons:
        _count_crossings(points, crossings)
    return np.asarray(np.cumsum(crossings, axis=1)[:, :width] % 2 == 1)


def _count_crossings(points: Points, crossings: Int32[np.ndarray, "height cols"]) -> None:
    """Add one, for every edge and row it crosses, at the first centre right of the crossing."""
    height, width = crossings.shape[0], crossings.shape[1] - 1
    following = np.roll(points, -1, axis=0)
    upper = np.where(points[:, :1] <= following[:, :1], points, following)
    lower = np.where(points[:, :1] <= following[:, :1], following, points)
    # Half-open in rows, so that a corner on a row counts once.
    first = np.clip(np.ceil(upper[:, 0]), 0, height).astype(np.int64)
    end = np.clip(np.ceil(lower[:, 0]), 0, height).astype(np.int64)
    counts = np.maximum(end - first, 0)
    edge = np.repeat(np.arange(len(points)), counts)
    offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = first[edge] + offset
    rise = lower[edge, 0] - upper[edge, 0]
    share = (rows - upper[edge, 0]) / rise
    cols = upper[edge, 1] + share * (lower[edge, 1] - upper[edge, 1])
    at = np.clip(np.ceil(cols), 0, width).astype(np.int64)
    np.add.at(crossings, (rows, at), 1)


def _loops(
    mask: Mask2d, pieces: Int32[np.ndarray, "height width"]
) -> list[tuple[Loop, list[Loop]]]:
    """Return the outline and the outlines of holes of every piece, from the top left on."""
    found: dict[int, tuple[list[Loop], list[Loop]]] = {}
    for piece, loop in _walk(_edges(mask, pieces)):
        outer, holes = found.setdefault(piece, ([], []))
        (outer if _area(loop) > 0 else holes).append(loop)
    return [(outer[0], sorted(holes, key=min)) for outer, holes in found.values()]


def _edges(
    mask: Mask2d, pieces: Int32[np.ndarray, "height width"]
) -> dict[tuple[int, Corner], list[int]]:
    """Return the directions in which edges leave each corner, by piece and corner."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    # Where the edge on each side of a pixel begins, walking with the pixel on the right.
    begins = ((0, 0), (0, 1), (1, 1), (1, 0))
    edges: dict[tuple[int, Corner], list[int]] = {}
    for direction, (neighbour, (down, right)) in enumerate(zip(neighbours, begins, strict=True)):
        rows, cols = np.nonzero(inside & ~neighbour)
        owners = pieces[rows, cols].tolist()
        corners = zip((rows + down).tolist(), (cols + right).tolist(), strict=True)
        for owner, corner in zip(owners, corners, strict=True):
            edges.setdefault((owner, corner), []).append(direction)
    return edges


def _walk(edges: dict[tuple[int, Corner], list[int]]) -> Iterator[tuple[int, Loop]]:
    """Yield closed walks along edges; where two ways leave a corner, the right turn is taken."""
    walked: set[tuple[int, Corner, int]] = set()
    for (piece, start), ways in sorted(edges.items()):
        for way in ways:
            loop: Loop = []
            corner, direction = start, way
            while (piece, corner, direction) not in walked:
                walked.add((piece, corner, direction))
                loop.append(corner)
                corner = _next(corner, direction)
                direction = _turn(edges[piece, corner], direction)
            if loop:
                yield piece, loop


def _turn(ways: list[int], direction: int) -> int:
    """Return where to go on: right, else straight, else left."""
    return next(way for turn in (1, 0, 3) if (way := (direction + turn) % 4) in ways)


def _next(corner: Corner, direction: int) -> Corner:
    down, right = _STEPS[direction]
    return corner[0] + down, corner[1] + right


def _area(loop: Loop) -> int:
    """Return twice the signed area: above 0 for an outline, below for a hole."""
    points = np.array(loop, np.int64)
    rows, cols = points[:, 0], points[:, 1]
    return int((cols * np.roll(rows, -1) - np.roll(cols, -1) * rows).sum())


def _with_keyholes(outer: Loop, holes: list[Loop]) -> Loop:
    """Join holes to the outline, each from its top left corner straight to the left.

    What is met first there is the outline or a hole that lies higher or further left, and so was
    joined before.
    """
    corners, following = list(outer), [*range(1, len(outer)), 0]
    node_at = {corner: node for node, corner in enumerate(corners)}
    columns: dict[int, list[int]] = {}
    for row, col in sorted(node_at):
        columns.setdefault(row, []).append(col)
    for hole in holes:
        row, col = top = min(hole)
        meeting = node_at[row, columns[row][bisect_right(columns[row], col) - 1]]
        start, turn = len(corners), hole.index(top)
        # Out along the channel, around the hole, and back along the channel.
        added = [*hole[turn:], *hole[:turn], top, corners[meeting]]
        corners.extend(added)
        following.extend([*range(start + 1, start + len(added)), following[meeting]])
        following[meeting] = start
        for node, corner in enumerate(added[: len(hole)], start):
            if corner not in node_at:
                insort(columns.setdefault(corner[0], []), corner[1])
            node_at[corner] = node
    ordered, node = [corners[0]], following[0]
    while node != 0:
        ordered.append(corners[node])
        node = following[node]
    return ordered


def _simplify(loop: Loop) -> Loop:
    """Leave out corners on straight runs; the ends of keyholes, which turn back, stay."""
    points = np.array(loop, np.int64)
    before = np.sign(points - np.roll(points, 1, axis=0))
    after = np.sign(np.roll(points, -1, axis=0) - points)
    kept = np.any(before != after, axis=1)
    return [(int(row), int(col)) for row, col in points[kept]]

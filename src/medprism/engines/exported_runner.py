"""Run an exported medprism model with numpy and ONNX Runtime alone.

This file is copied into every export as `runner.py`; it imports nothing of medprism and no torch.
The graphs do the work (intensities, resampling, network, probabilities); here is only what is
computed from sizes and positions: how a slice is placed on the canvas, and the maps of clicks.

    from runner import Pipeline
    pipeline = Pipeline("folder of the export")
    view = pipeline.view(plane)                       # (height, width) or (height, width, 3)
    found = pipeline.segment(view, classes=["polyp"])
    found[0].mask                                     # bool, on the grid of the plane
    clicked = pipeline.segment(view, clicks=[(120, 88, True)], previous=None)
    again = pipeline.segment(view, clicks=[(120, 88, True), (3, 4, False)], previous=clicked[0])
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Array = np.ndarray
# (row, col, is positive), pixel centres at whole numbers.
Click = tuple[float, float, bool]
MULTIPLE = 16
THRESHOLD = 0.5


@dataclass(frozen=True)
class View:
    """An encoded slice: its maps, and how it lies on the canvas."""

    maps: tuple[Array, ...]
    source: tuple[int, int]
    resized: tuple[int, int]
    canvas: tuple[int, int]
    image: Array


@dataclass(frozen=True)
class Found:
    """The answer to one request: probabilities on the grid of the slice and on the canvas."""

    probability: Array
    canvas: Array

    @property
    def mask(self) -> Array:
        """Where the probability reaches one half."""
        return np.asarray(self.probability >= THRESHOLD)


class Pipeline:
    """The graphs of one export, opened when first used."""

    def __init__(self, folder: str | Path, threads: int = 0) -> None:
        self.folder = Path(folder)
        self.about: dict[str, Any] = json.loads((self.folder / "model.json").read_text("utf-8"))
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._sessions: dict[str, Any] = {}

    @property
    def classes(self) -> list[str]:
        """The names the model knows; the position in this list is the number of a class."""
        return list(self.about["classes"])

    def bounds(self, voxels: Array, rule: str) -> tuple[float, float]:
        """Return the intensities that become 0 and 255: of a whole image or volume, by a rule.

        Rules are in model.json: "eight-bit" (0, 255), "ct-organ" and "ct-tumour" (Hounsfield
        windows), "percentile" (all else).
        """
        one = self.about["rules"][rule]
        if not one["by_percentile"]:
            return float(one["low"]), float(one["high"])
        low, high = np.percentile(voxels[np.isfinite(voxels)], (one["low"], one["high"]))
        return float(low), float(high)

    def view(self, plane: Array, bounds: tuple[float, float] = (0.0, 255.0)) -> View:
        """Place a slice on the canvas and encode it."""
        channels = plane[..., None] if plane.ndim == 2 else plane
        given = np.broadcast_to(channels, (*channels.shape[:2], 3)).astype(np.float32)
        source = (given.shape[0], given.shape[1])
        ratio = self.about["long_side"] / max(source)
        resized = (max(1, round(source[0] * ratio)), max(1, round(source[1] * ratio)))
        canvas = (-(-resized[0] // MULTIPLE) * MULTIPLE, -(-resized[1] // MULTIPLE) * MULTIPLE)
        rows, cols = placing(source, resized, canvas)
        named = {"plane": given[None], "bounds": np.array(bounds, np.float32)}
        (image,) = self._run("prepare", {**named, "rows": rows, "cols": cols})
        maps = tuple(self._run("encode", {"image": image}))
        return View(maps, source, resized, canvas, image)

    def reference(self, view: View, mask: Array) -> dict[str, Array]:
        """Encode a slice with its finished mask as an example."""
        rows, cols = placing(view.source, view.resized, view.canvas)
        coverage = rows @ mask.astype(np.float32) @ cols.T
        yes = np.ones((1, 1), bool)
        named = {"reference_image": view.image[None], "reference_mask": coverage[None, None]}
        keys, values, summary, weight = self._run(
            "encode-references", {**named, "reference_valid": yes}
        )
        valid = np.ones(keys.shape[:2], bool)
        return {
            "keys": keys,
            "values": values,
            "valid": valid,
            "summary": summary,
            "weight": weight,
        }

    def segment(
        self,
        view: View,
        *,
        classes: Sequence[str] = (),
        references: Sequence[dict[str, Array]] = (),
        clicks: Sequence[Click] = (),
        previous: Found | None = None,
    ) -> list[Found]:
        """Answer one request for each class, or a single one without classes.

        `references` are examples of `reference` (any number); `previous` is what the same request
        found before the last click. All classes are decoded as one batch.
        """
        count = max(1, len(classes))
        named = dict(zip(("map2", "map4", "map8", "map16"), view.maps, strict=True))
        graph = ["decode"]
        if classes:
            graph.append("class")
            named["concept"] = np.array([self.classes.index(one) for one in classes], np.int64)
        if references:
            graph.append("reference")
            named |= _joined(references)
        if clicks:
            graph.append("click")
            named |= _clicked(view, clicks, previous)
        repeated = {name: _repeat(value, count) for name, value in named.items()}
        (logits,) = self._run("-".join(graph), repeated)
        up = (bilinear(logits.shape[1], view.canvas[0]), bilinear(logits.shape[2], view.canvas[1]))
        down = lifting(view.source, view.resized, view.canvas)
        named = {"logits": logits, "up_rows": up[0], "up_cols": up[1]}
        named |= {"lift_rows": down[0], "lift_cols": down[1]}
        canvas, native = self._run("finish", named)
        return [Found(one, other) for one, other in zip(native, canvas, strict=True)]

    def _run(self, graph: str, named: dict[str, Array]) -> list[Array]:
        if graph not in self._sessions:
            path = self.folder / f"{graph}.onnx"
            self._sessions[graph] = onnxruntime.InferenceSession(
                path, self._options, providers=["CPUExecutionProvider"]
            )
        return list(self._sessions[graph].run(None, named))


def bilinear(count: int, wanted: int) -> Array:
    """Return the matrix (wanted, count) that resamples an axis linearly, the border repeated."""
    place = np.clip((np.arange(wanted) + 0.5) * (count / wanted) - 0.5, 0, count - 1)
    weight = np.clip(1 - np.abs(place[:, None] - np.arange(count)), 0, None)
    return np.asarray(weight, np.float32)


def area(count: int, wanted: int) -> Array:
    """Return the matrix (wanted, count) that averages an axis over the area of each new pixel."""
    step = count / wanted
    first, last = np.arange(wanted)[:, None] * step, (np.arange(wanted)[:, None] + 1) * step
    at = np.arange(count)
    covered = np.minimum(last, at + 1) - np.maximum(first, at)
    return np.asarray(np.clip(covered, 0, None) / step, np.float32)


def placing(
    source: tuple[int, int], resized: tuple[int, int], canvas: tuple[int, int]
) -> tuple[Array, Array]:
    """Return the matrices of rows and columns that bring a slice onto the canvas, zeros beyond."""
    shrinks = resized[0] < source[0] or resized[1] < source[1]
    make = area if shrinks else bilinear
    axes = zip(source, resized, canvas, strict=True)
    rows, cols = (np.pad(make(a, b), ((0, c - b), (0, 0))) for a, b, c in axes)
    return rows, cols


def lifting(
    source: tuple[int, int], resized: tuple[int, int], canvas: tuple[int, int]
) -> tuple[Array, Array]:
    """Return the matrices that bring a map from the canvas back onto the slice."""
    axes = zip(source, resized, canvas, strict=True)
    rows, cols = (np.pad(bilinear(b, a), ((0, 0), (0, c - b))) for a, b, c in axes)
    return rows, cols


def _joined(references: Sequence[dict[str, Array]]) -> dict[str, Array]:
    """Join examples into one longer one; pooled sums add up."""
    along = {name: [one[name] for one in references] for name in references[0]}
    longer = {name: np.concatenate(along[name], axis=1) for name in ("keys", "values", "valid")}
    return longer | {name: np.sum(along[name], axis=0) for name in ("summary", "weight")}


def _clicked(view: View, clicks: Sequence[Click], previous: Found | None) -> dict[str, Array]:
    """Return the queries of clicks and their maps: crosses of five pixels, and what was found."""
    at = np.array([click[:2] for click in clicks], np.float32)
    scale = np.array(view.resized, np.float32) / np.array(view.source, np.float32)
    position = (at + np.float32(0.5)) * scale - np.float32(0.5)
    position = np.clip(position, 0, np.array(view.resized, np.float32) - 1).astype(np.float32)
    sign = np.array([click[2] for click in clicks], bool)
    dense = np.zeros((3, *view.canvas), np.float32)
    rows, cols = np.arange(view.canvas[0]), np.arange(view.canvas[1])
    for (row, col), is_positive in zip(np.floor(position + 0.5), sign, strict=True):
        near = (rows[:, None] - row) ** 2 + (cols[None] - col) ** 2 <= 1
        dense[0 if is_positive else 1][near] = 1
    if previous is not None:
        dense[2] = previous.canvas
    named = {"position": position, "is_positive": sign, "is_click": np.ones_like(sign)}
    return {name: value[None] for name, value in (named | {"dense": dense}).items()}


def _repeat(value: Array, count: int) -> Array:
    return value if len(value) == count else np.repeat(value, count, axis=0)

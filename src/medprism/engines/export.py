"""Write a checkpoint as ONNX graphs that run without torch and without this package."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from medprism.core.durable import read_json, write_folder_durably
from medprism.core.errors import CheckpointError, ConfigError, MedprismError, WriteError
from medprism.core.preprocess import CENTRE, RULES, SCALE
from medprism.core.progress import Progress
from medprism.engines.graphs import export_graph, graph_names, to_onnx
from medprism.engines.loading import checkpoint_path
from medprism.models.catalog import build_from_checkpoint
from medprism.models.checkpoint import Checkpoint, load_checkpoint

FORMAT: Final = "medprism-export"
VERSION: Final = 1
ABOUT: Final = "model.json"
WEIGHTS: Final = "weights.bin"
# Smaller tensors stay inside their graph.
LEAST_OUTSIDE: Final = 1024
ALIGNMENT: Final = 4096

_README: Final = """# {name} as ONNX

Exported by medprism from weights {weights_hash}. For research use; not a medical device.

`runner.py` needs numpy and onnxruntime, nothing else; its first lines show how it is used. The
graphs share `weights.bin`. `model.json` names the classes, the intensity rules and the licence.

| graph | inputs | outputs |
|---|---|---|
{rows}

Sizes of images and numbers of images, requests (classes), references and clicks are free; canvases
are multiples of 16. A request takes the graph whose name says what is known: a class, references,
clicks. Presence scores, auto-zoom and file formats are not part of an export.
"""


class Prepare(nn.Module):
    """Intensities to the model's input: stretch, resample by matrices, standardise."""

    def forward(self, plane: Tensor, bounds: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        """Return (images, 3, canvas height, canvas width) of (images, height, width, 3)."""
        low, high = bounds[0], bounds[1]
        known = torch.where(torch.isnan(plane), low, plane)
        clipped = torch.minimum(torch.maximum(known, low), high)
        span = torch.where(high > low, high - low, torch.ones_like(low))
        stretched = torch.where(high > low, (clipped - low) * (255.0 / span), 0.0)
        channels = stretched.permute(0, 3, 1, 2)
        return (rows @ channels @ cols.transpose(0, 1) - CENTRE) / SCALE


class Finish(nn.Module):
    """Logits to probabilities on the canvas and on the grid of the slice."""

    def forward(
        self, logits: Tensor, up_rows: Tensor, up_cols: Tensor, lift_rows: Tensor, lift_cols: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return both probabilities, each (requests, height, width)."""
        canvas = (up_rows @ logits @ up_cols.transpose(0, 1)).sigmoid()
        return canvas, lift_rows @ canvas @ lift_cols.transpose(0, 1)


_PREPARE_AXES: Final = {
    "plane": {0: "images", 1: "height", 2: "width"},
    "rows": {0: "canvas_height", 1: "height"},
    "cols": {0: "canvas_width", 1: "width"},
}
_FINISH_AXES: Final = {
    "logits": {0: "requests", 1: "logits_height", 2: "logits_width"},
    "up_rows": {0: "canvas_height", 1: "logits_height"},
    "up_cols": {0: "canvas_width", 1: "logits_width"},
    "lift_rows": {0: "height", 1: "canvas_height"},
    "lift_cols": {0: "width", 1: "canvas_width"},
}


def export_checkpoint(name_or_path: str | Path, out: Path, progress: Progress) -> tuple[str, ...]:
    """Write a checkpoint as a folder of ONNX graphs with a runner, and return its file names.

    Graphs take and return float32; weights that several graphs use are stored once.

    Raises:
        CheckpointError: no such model, or one that is not a K-Prism.
        ConfigError: the package onnx is missing.
        WriteError: the folder holds something else, or cannot be written.
    """
    if importlib.util.find_spec("onnx") is None:
        raise ConfigError(
            "an export needs the package onnx; install `pip install 'medprism[onnx]'`"
        )
    _refuse_other_files(out)
    checkpoint = load_checkpoint(checkpoint_path(name_or_path))
    if checkpoint.info.architecture != "kprism":
        raise CheckpointError(
            f"{name_or_path} is of architecture {checkpoint.info.architecture!r}; only kprism can "
            "be exported"
        )
    write_folder_durably(out, lambda folder: _fill(folder, checkpoint, progress))
    return tuple(sorted(path.name for path in out.iterdir()))


def _refuse_other_files(out: Path) -> None:
    """Let only an empty folder or a former export be replaced."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        read_json(out / ABOUT, FORMAT, VERSION)
    except MedprismError as error:
        raise WriteError(f"{out} is there and no export; choose another folder") from error


def _fill(folder: Path, checkpoint: Checkpoint, progress: Progress) -> None:
    names = ("prepare", *graph_names(), "finish")
    weights = _SharedWeights(folder / WEIGHTS)
    rows = []
    for number, (name, content) in enumerate(_graphs(checkpoint), start=1):
        rows.append(weights.write_graph(folder / f"{name}.onnx", content))
        progress.report(number, len(names), name)
    weights.close()
    about = _about(checkpoint)
    (folder / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
    runner = Path(__file__).with_name("exported_runner.py").read_text(encoding="utf-8")
    (folder / "runner.py").write_text(runner, encoding="utf-8")
    text = _README.format(**about, rows="\n".join(rows))
    (folder / "README.md").write_text(text, encoding="utf-8")


def _graphs(checkpoint: Checkpoint) -> Iterator[tuple[str, bytes]]:
    model = build_from_checkpoint(checkpoint)
    yield "prepare", _prepare_graph()
    for name in graph_names():
        yield name, export_graph(model, name)
    yield "finish", _finish_graph()


def _prepare_graph() -> bytes:
    arguments = (torch.rand(2, 20, 30, 3), torch.tensor([0.0, 1.0]), torch.rand(48, 20))
    names = ("plane", "bounds", "rows", "cols")
    return to_onnx(Prepare(), (*arguments, torch.rand(32, 30)), names, ("image",), _PREPARE_AXES)


def _finish_graph() -> bytes:
    arguments = (torch.rand(2, 24, 16), torch.rand(48, 24), torch.rand(32, 16))
    lift = (torch.rand(20, 48), torch.rand(30, 32))
    outputs = ("canvas", "probability")
    return to_onnx(Finish(), (*arguments, *lift), tuple(_FINISH_AXES), outputs, _FINISH_AXES)


def _about(checkpoint: Checkpoint) -> dict[str, Any]:
    info = checkpoint.info
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": info.name,
        "weights_hash": checkpoint.weights_hash,
        "long_side": info.preprocessing["long_side"],
        "classes": list(info.concepts.names),
        "rules": {name: rule.to_json() for name, rule in RULES.items()},
        "card": dict(info.card),
        "training": dict(info.training),
    }


class _SharedWeights:
    """One file of tensors that several graphs refer to; equal tensors are stored once."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._stream = path.open("wb")
        self._places: dict[str, tuple[int, int]] = {}

    def write_graph(self, path: Path, content: bytes) -> str:
        """Write a graph with its large tensors outside; return its line of the table."""
        import onnx

        model = onnx.load_from_string(content)
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) >= LEAST_OUTSIDE:
                self._move_out(tensor)
        path.write_bytes(model.SerializeToString())
        given = ", ".join(f"{one.name} {_shape(one)}" for one in model.graph.input)
        made = ", ".join(one.name for one in model.graph.output)
        return f"| {path.stem} | {given} | {made} |"

    def close(self) -> None:
        """End the file."""
        self._stream.close()

    def _move_out(self, tensor: Any) -> None:  # noqa: ANN401
        import onnx

        raw = tensor.raw_data
        digest = hashlib.sha256(raw).hexdigest()
        if digest not in self._places:
            self._stream.write(b"\0" * (-self._stream.tell() % ALIGNMENT))
            self._places[digest] = (self._stream.tell(), len(raw))
            self._stream.write(raw)
        offset, length = self._places[digest]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", self._name), ("offset", offset), ("length", length)):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)


def _shape(value: Any) -> str:  # noqa: ANN401
    sizes = [one.dim_param or str(one.dim_value) for one in value.type.tensor_type.shape.dim]
    return f"({', '.join(sizes)})"

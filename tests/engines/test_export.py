from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import CheckpointError, WriteError
from medprism.core.progress import SilentProgress
from medprism.engines.export import export_checkpoint
from medprism.engines.graphs import graph_names
from medprism.engines.loading import load
from medprism.inference.session import Session
from tests.models.checkpoints import CONCEPTS, save_nano

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

CLICKS = ((70, 101, True), (20, 60, False), (88, 150, True))

# Everything a user of an export would do, in a process that can import neither torch nor medprism.
SCRIPT = """
    import sys
    sys.modules["torch"] = sys.modules["medprism"] = None
    sys.path.insert(0, sys.argv[1])
    import numpy as np
    from runner import Pipeline
    given = np.load(sys.argv[2])
    pipeline = Pipeline(sys.argv[1], threads=1)
    found = {}
    for name in ("small", "large", "colour"):
        view = pipeline.view(given[name])
        for one, answer in zip(pipeline.classes, pipeline.segment(view, classes=pipeline.classes)):
            found[f"{name} {one}"] = answer.probability
        last = None
        for count in range(1, 1 + len(given["clicks"])):
            clicks = [(row, col, bool(sign)) for row, col, sign in given["clicks"][:count]]
            (last,) = pipeline.segment(view, clicks=clicks, previous=last)
            found[f"{name} click {count}"] = last.probability
    view = pipeline.view(given["small"])
    examples = [
        pipeline.reference(pipeline.view(given[name]), given[name + " mask"])
        for name in ("large", "other")
    ]
    (shown,) = pipeline.segment(view, references=examples)
    found["shown"] = shown.probability
    found["bounds"] = np.array(pipeline.bounds(given["hounsfield"], "percentile"))
    window = pipeline.bounds(given["hounsfield"], "ct-organ")
    (found["ct"],) = (a.probability for a in pipeline.segment(
        pipeline.view(given["hounsfield"], window), classes=["flag"]))
    assert sys.modules["torch"] is None and sys.modules["medprism"] is None
    np.savez(sys.argv[3], **found)
"""


def _picture(seed: int, *shape: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    bright = (rows - 0.4 * shape[0]) ** 2 + 2 * (cols - 0.6 * shape[1]) ** 2 < 0.05 * shape[0] ** 2
    plane = 60 + 90 * bright + 0.2 * rows + rng.normal(0, 6, shape[:2])
    stack = plane[..., None] + 10 * np.arange(shape[2]) if len(shape) == 3 else plane
    return np.clip(stack, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "nano.safetensors"
    save_nano(path)
    return path


@pytest.fixture(scope="module")
def export(checkpoint: Path) -> Path:
    out = checkpoint.parent / "export"
    export_checkpoint(checkpoint, out, SilentProgress())
    return out


@pytest.fixture(scope="module")
def given() -> dict[str, np.ndarray]:
    large, other = _picture(2, 120, 170), _picture(5, 90, 64)
    return {
        "small": _picture(1, 95, 155),
        "large": large,
        "colour": _picture(3, 133, 160, 3),
        "other": other,
        "large mask": large > 140,
        "other mask": other > 140,
        "clicks": np.array(CLICKS, np.int64),
        "hounsfield": (_picture(4, 70, 50).astype(np.float32) - 120) * 8,
    }


def test_the_pipeline_answers_like_a_session_without_torch(
    checkpoint: Path, export: Path, given: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "given.npz", **given)
    script = tmp_path / "use.py"
    script.write_text(textwrap.dedent(SCRIPT))
    arguments = [
        sys.executable,
        "-I",
        "-B",
        script,
        export,
        tmp_path / "given.npz",
        tmp_path / "found.npz",
    ]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = np.load(tmp_path / "found.npz")
    expected = _expected(checkpoint, given)
    assert set(expected) < set(found.files)
    for name, probability in expected.items():
        assert found[name].shape == probability.shape
        assert np.abs(found[name] - probability).max() < 2e-4, name
    values = given["hounsfield"]
    assert found["bounds"] == pytest.approx(np.percentile(values, (0.5, 99.5)))


def _expected(checkpoint: Path, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    model, expected = load(checkpoint, engine="torch"), {}
    for name in ("small", "large", "colour"):
        session = Session(model, auto_zoom=False)
        session.set_image(given[name])
        session.predict(classes=list(CONCEPTS.names))
        for one in CONCEPTS.names:
            expected[f"{name} {one}"] = session.probability(one)
        for count, (row, col, sign) in enumerate(CLICKS, start=1):
            session.add_point_interaction((row, col), include_interaction=sign, label="mine")
            expected[f"{name} click {count}"] = session.probability("mine")
    session = Session(model, auto_zoom=False)
    session.set_image(given["small"])
    names = ("large", "other")
    masks = [given[f"{name} mask"] for name in names]
    session.set_references([given[name] for name in names], masks, label="shown")
    session.predict(labels=["shown"])
    session_ct = Session(model, auto_zoom=False)
    session_ct.set_image(given["hounsfield"])
    session_ct.predict(classes=["flag"])
    return {**expected, "shown": session.probability("shown"), "ct": session_ct.probability("flag")}


def test_the_folder_explains_itself_and_stores_weights_once(checkpoint: Path, export: Path) -> None:
    names = {path.name for path in export.iterdir()}
    graphs = {f"{name}.onnx" for name in ("prepare", *graph_names(), "finish")}
    assert names == graphs | {"weights.bin", "model.json", "runner.py", "README.md"}
    about = json.loads((export / "model.json").read_text())
    assert about["classes"] == list(CONCEPTS.names)
    assert about["training"]["sets"][0]["licence"] == "CC0"
    assert all(f"| {Path(graph).stem} |" in (export / "README.md").read_text() for graph in graphs)
    # Seven decoders with weights of their own would be several times as much.
    total = sum(path.stat().st_size for path in export.iterdir())
    assert total < 3 * checkpoint.stat().st_size + 2**21


def test_only_an_export_is_replaced(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(WriteError, match="is there and no export"):
        export_checkpoint(checkpoint, tmp_path, SilentProgress())
    assert (tmp_path / "mine.txt").read_text() == "keep"
    with pytest.raises(CheckpointError, match="neither a file nor a preset"):
        export_checkpoint(tmp_path / "none", tmp_path / "new", SilentProgress())
    assert not (tmp_path / "new").exists()

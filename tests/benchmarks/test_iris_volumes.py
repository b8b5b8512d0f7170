from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from benchmarks.iris_volumes import SHARES, main, score
from typer.testing import CliRunner

from medprism.training.iris.run import IrisOrder, IrisRun
from tests.data.volume_phantoms import write_phantom_set
from tests.training.runs import Notes

CLASSES = {"bright hook", "dark bar"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom_set(tmp_path_factory.mktemp("data") / "phantoms", 4)


@pytest.fixture(scope="module")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _trained(data, tmp_path_factory.mktemp("run"), seed=1)


def _trained(data: Path, folder: Path, seed: int) -> Path:
    order = IrisOrder(preset="iris-nano", data=(data,), steps=1, seed=seed)
    IrisRun.start(folder / "run", order).train(Notes(), Notes())
    return folder / "run" / "last.safetensors"


def _measure(data: Path, model: Path, out: Path) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(main)
    asked = ["--data", data, "--model", model, "--out", out, "--tune-steps", "1"]
    asked += ["--shares-of", "phantoms", "--unet-minutes", "0.05", "--preset", "iris-nano"]
    done = CliRunner().invoke(app, [str(one) for one in asked])
    return done.exit_code, done.output


def test_every_way_of_asking_is_measured_once_and_kept(
    data: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    status, printed = _measure(data, model, out)
    assert status == 0, printed
    rows = json.loads((out / "volumes.json").read_text())["rows"]
    ways = {key.partition(" | ")[2] for key in rows}
    assert {"one-shot", "ensemble", "bank", "tuned, 1 steps", "UNet, 0.05 min"} <= ways
    assert {"image retrieval, 20 %", "object retrieval, 20 %"} <= ways
    assert {f"share {share:g}" for share in SHARES} <= ways
    one_shot = rows["phantoms | one-shot"]["value"]
    assert set(one_shot) == CLASSES
    assert all(0 <= value <= 1 for value in one_shot.values())
    # The whole pool, drawn or chosen, is the whole pool.
    whole = rows["phantoms | share 1"]["value"]
    assert whole["ensemble"] == pytest.approx(rows["phantoms | ensemble"]["value"], abs=1e-6)
    assert whole["image retrieval"] == pytest.approx(whole["ensemble"], abs=1e-3)
    page = (out / "volumes.md").read_text()
    assert f"| mean | {np.mean(list(one_shot.values())):.3f} |" in page

    before = (out / "volumes.json").read_bytes()
    assert _measure(data, model, out)[0] == 0
    assert (out / "volumes.json").read_bytes() == before

    other = _trained(data, tmp_path, seed=2)
    status, printed = _measure(data, other, out)
    assert status == 2
    assert "holds figures of another model" in " ".join(printed.replace("│", " ").split())


def test_a_structure_that_the_query_does_not_show_is_not_scored() -> None:
    shown = np.zeros((2, 3, 4), bool)
    shown[0, 1] = True
    found = {"a": shown, "b": shown}
    assert score(found, {"a": shown, "b": np.zeros_like(shown)}) == {"a": 1.0}

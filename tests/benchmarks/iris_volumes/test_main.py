from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.iris_volumes.__main__ import main

from benchmarks.iris_volumes import __main__
from tests.benchmarks.iris_volumes.phantoms import CLASSES, invoke, trained


def _measure(data: Path, model: Path, out: Path) -> tuple[int, str]:
    asked = ["--data", data, "--model", model, "--out", out, "--tune-steps", 1]
    asked += ["--shares-of", "phantoms", "--unet-minutes", 0.03, "--preset", "iris-nano"]
    return invoke(main, *asked)


def test_every_way_of_asking_is_measured_once_and_kept(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(__main__, "SHARES", (0.2, 1.0))
    out = tmp_path / "out"
    status, printed = _measure(data, model, out)
    assert status == 0, printed
    document = json.loads((out / "volumes.json").read_text())
    rows = document["rows"]
    ways = {key.partition(" | ")[2] for key in rows}
    assert {"one-shot", "ensemble", "bank", "tuned, 1 steps", "UNet, 0.03 min"} <= ways
    assert {"image retrieval, 20 %", "object retrieval, 20 %"} <= ways
    assert {"share 0.2", "share 1"} <= ways
    one_shot = rows["phantoms | one-shot"]["value"]
    assert set(one_shot) == CLASSES
    assert all(0 <= value <= 1 for value in one_shot.values())
    # The value of every case is kept; there is one.
    cases = rows["phantoms | one-shot"]["cases"]
    assert {name: {"case3": value} for name, value in one_shot.items()} == cases
    assert document["patients"]["phantoms"]["case3"] == "patient3"
    # The whole pool, drawn or chosen, is the whole pool.
    whole = rows["phantoms | share 1"]["value"]
    assert whole["ensemble"] == pytest.approx(rows["phantoms | ensemble"]["value"], abs=1e-6)
    assert whole["image retrieval"] == pytest.approx(whole["ensemble"], abs=1e-3)
    page = (out / "volumes.md").read_text()
    assert f"| mean | {np.mean(list(one_shot.values())):.3f} |" in page
    assert (out / "shares.png").read_bytes().startswith(b"\x89PNG")

    before = (out / "volumes.json").read_bytes()
    assert _measure(data, model, out)[0] == 0
    assert (out / "volumes.json").read_bytes() == before

    other = trained(data, tmp_path, seed=2)
    status, printed = _measure(data, other, out)
    assert status == 2
    assert "holds figures of another model" in " ".join(printed.replace("│", " ").split())


def test_a_set_that_is_not_there_is_named(data: Path, model: Path, tmp_path: Path) -> None:
    status, printed = invoke(
        main, "--data", data, "--model", model, "--out", tmp_path, "--datasets", "liver"
    )
    assert status == 2
    assert "no set 'liver'" in printed

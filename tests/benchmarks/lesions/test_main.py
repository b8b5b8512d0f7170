from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.lesions.__main__ import DOCS, app
from benchmarks.lesions.cost import cost_of
from benchmarks.lesions.methods import METHODS, SIZES
from benchmarks.lesions.page import render
from benchmarks.lesions.results import FILE, read_rows
from benchmarks.lesions.tasks import names
from typer.testing import CliRunner

from medprism.core.errors import ConfigError
from medprism.evaluation.task_validation import make_task_validate
from medprism.training.run import BEST, Run
from medprism.training.run_order import RunOrder
from tests.training.runs import Notes
from tests.untrained import save_untrained

from .phantoms import EXTERNAL, GREY, TASKS


def run(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def train(store: Path, out: Path, method: str) -> None:
    asked = ["--tasks", ",".join(TASKS), "--preset", "tpseg-nano", "--steps", "1"]
    run("train", method, "--store", store, "--out", out, *asked)


@pytest.fixture(scope="module")
def out(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of results in which everything was measured once."""
    folder = tmp_path_factory.mktemp("results")
    for method in ("tpseg", "tpseg-shared", "unet"):
        train(store, folder, method)
    run("measure", "--store", store, "--out", folder)
    gradients = ("--images", 1, "--size", 64)
    run("gradients", "--store", store, "--out", folder, *gradients)
    run(
        "cost", "--out", folder, "--methods", "tpseg,unet", "--repeats", 1, "--preset", "tpseg-nano"
    )
    save_untrained(folder / "kprism.safetensors")
    asked = ("--model", folder / "kprism.safetensors", "--tasks", ",".join(TASKS))
    run("prototypes", "--store", store, "--out", folder, *asked)
    return folder


def test_every_figure_is_kept_and_nothing_is_measured_twice(store: Path, out: Path) -> None:
    rows = read_rows(out / FILE)
    assert f"test | unet@1steps | {GREY}" in rows
    assert f"external | tpseg@1steps | {EXTERNAL}" in rows
    assert {"gradients | tpseg@1steps", "gradients | tpseg-shared@1steps"} <= set(rows)
    assert {"cost | tpseg", "cost | unet"} <= set(rows)
    ways = {key.split(" | ")[1] for key in rows if key.startswith("prototypes")}
    assert ways == {"class", "class and prototypes", "prototypes"}
    before = (out / FILE).read_bytes()
    run("measure", "--store", store, "--out", out)
    run("measure", "--store", store, "--out", out, "--runs", "unet@1steps")
    assert (out / FILE).read_bytes() == before
    run("measure", "--store", store, "--out", out, "--runs", "unet@1steps", "--limit", 1)
    changed = read_rows(out / FILE)
    key = f"test | unet@1steps | {GREY}"
    assert len(changed[key]["value"]) == 2 < len(rows[key]["value"])
    assert changed["cost | unet"] == rows["cost | unet"]


def test_a_run_that_is_not_finished_is_left_out(store: Path, tmp_path: Path) -> None:
    train(store, tmp_path, "unet")
    (tmp_path / "runs" / "unet@1steps" / "state.safetensors").unlink()
    assert "not finished" in run("measure", "--store", store, "--out", tmp_path)
    assert not (tmp_path / FILE).exists()
    assert "not finished" in run(
        "gradients", "--store", store, "--out", tmp_path, "--runs", "unet@1steps"
    )


def test_the_checkpoint_of_medprism_train_is_measured(store: Path, tmp_path: Path) -> None:
    order = RunOrder(recipe="tpseg-nano", store=store, steps=1, tasks=TASKS)
    made = Run.start(tmp_path / "run", order, make_task_validate)
    made.train(made.validator(make_task_validate), Notes(), Notes())
    path = tmp_path / "run" / BEST
    run("measure", "--store", store, "--out", tmp_path / "out", "--checkpoint", path)
    rows = read_rows(tmp_path / "out" / FILE)
    assert rows["run | checkpoint"]["value"]["steps"] == 1
    page = (tmp_path / "out" / "lesions.md").read_text()
    part = page.split("## The checkpoint")[1].split("\n## ")[0]
    assert "**mean over lesions**" in part


def test_the_page_is_made_of_figures_alone(out: Path, tmp_path: Path) -> None:
    printed = run("page", "--results", out, "--docs", tmp_path)
    assert (tmp_path / "lesions.md").read_text() in printed
    again = run("page", "--docs", tmp_path)
    assert again == printed
    summary = json.loads((tmp_path / FILE).read_text())
    assert set(summary["runs"]) == {"tpseg@1steps", "tpseg-shared@1steps", "unet@1steps"}
    assert "patient" not in json.dumps(summary["runs"]).replace("patients", "")


def test_the_page_of_the_docs_is_what_the_command_writes() -> None:
    kept = DOCS / FILE
    summary = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    assert (DOCS / "lesions.md").read_text(encoding="utf-8") == render(summary)


def test_tasks_are_listed_with_and_without_a_store(store: Path) -> None:
    assert run("tasks", "--names").strip() == ",".join(names())
    assert "| ischaemic core | CT without contrast |" in run("tasks")


def test_costs_are_those_of_the_models_that_are_compared() -> None:
    nano = SIZES["tpseg-nano"]
    costs = {name: cost_of(name, nano, 3, 1) for name in ("unet", "tpseg", "unet-per-task")}
    # A channel of the last layer and its bias.
    assert costs["unet"].further_task == nano.widths[0] + 1
    assert costs["unet-per-task"].parameters == 3 * costs["unet-per-task"].further_task
    one = METHODS["unet"].build(nano, 1)
    assert costs["unet-per-task"].further_task == sum(p.numel() for p in one.parameters())
    assert (costs["unet"].passes, costs["tpseg"].passes) == (1, 3)
    assert all(cost.median_ms > 0 for cost in costs.values())


def test_an_unknown_method_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no method"):
        run("train", "unett", "--store", store, "--out", tmp_path, "--steps", 1)

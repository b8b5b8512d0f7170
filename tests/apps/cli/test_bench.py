"""`medprism bench` from the first step to the report, gone on with, and compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medprism.apps.cli.main import run
from tests.apps.conftest import Command
from tests.evaluation.phantoms import make_store, write_scenes

TRAINED = ("kprism", "clip-driven", "iris")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    cases = {"train": ["a", "b", "e"], "val": ["c"], "test": [f"t{n:02}" for n in range(20)]}
    make_store(folder, write_scenes(folder / "sets" / "scenes", cases=cases))
    return folder / "store"


def ask(store: Path, out: Path, systems: str, *more: object) -> tuple[object, ...]:
    return (
        *("bench", "run", "--store", store, "--out", out, "--systems", systems),
        *("--size", "nano", "--side", "64", "--limit", "2", "--clicks", "2", "--threads", "1"),
        *(more or ("--steps", "2")),
    )


@pytest.fixture(scope="module")
def finished(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    asked = ask(store, out, ",".join((*TRAINED, "unet-task", "GrabCut")))
    with pytest.raises(SystemExit) as ended:
        run([str(part) for part in asked])
    assert ended.value.code == 0
    return out


def test_every_system_is_trained_examined_and_reported(finished: Path) -> None:
    document = json.loads((finished / "bench.json").read_text())
    assert {one["system"] for one in document["runs"]} == set(TRAINED)
    assert {one["steps"] for one in document["runs"]} == {2}
    tables = {(one["measure"], one["role"]): one for one in document["tables"]}
    by_class = [line["system"] for line in tables["semantic", "train"]["lines"]]
    assert by_class == ["kprism", "clip-driven", "iris", "UNet"]
    assert {line["system"] for line in tables["one-shot", "train"]["lines"]} == {"kprism", "iris"}
    clicked = tables["clicks@1", "train"]["lines"]
    assert {line["system"] for line in clicked} == {"kprism", "GrabCut"}
    first, second = tables["one-shot", "train"]["lines"]
    assert first["behind"] is None
    # With one set the difference of the means is the mean of the differences.
    gap = second["mean"]["mean"] - first["mean"]["mean"]
    assert second["behind"]["mean"] == pytest.approx(gap)
    page = (finished / "bench.html").read_text()
    assert "<svg" in page and "clip-driven" in page and "http-equiv" not in page
    assert page.count("<h2>") == (finished / "bench.md").read_text().count("\n## ")
    assert "src=" not in page and "href=" not in page.replace("xlink:href", "")


def test_what_is_finished_is_not_done_again_and_missing_cells_say_so(
    medprism: Command, store: Path, finished: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    ended = medprism(*ask(store, finished, "kprism"))
    assert ended.status == 0, ended.err
    kept = ("state.safetensors", "run.json")
    for path, when in before.items():
        if path.name in kept or path.parent.name == "cells":
            assert path.stat().st_mtime_ns == when, path
    (cell,) = (finished / "cells").glob("clip-driven--*.json")
    moved = cell.rename(finished / "aside.json")
    again = medprism("bench", "report", "--out", finished)
    assert again.status == 0, again.err
    assert "clip-driven" not in again.out
    moved.rename(cell)


def test_two_benches_are_compared_pair_by_pair(
    medprism: Command, store: Path, finished: Path, tmp_path: Path
) -> None:
    same = medprism("bench", "compare", finished, finished)
    assert same.status == 0, same.err
    assert "+0.000 (+0.000 to +0.000)" in same.out
    none = medprism("bench", "compare", finished, tmp_path)
    assert none.status == 2
    assert "holds no results" in none.err


def test_cpu_seconds_become_steps_and_seeds_become_runs(
    medprism: Command, store: Path, tmp_path: Path
) -> None:
    ended = medprism(*ask(store, tmp_path, "clip-driven", "--cpu-seconds", "4", "--seeds", "1,2"))
    assert ended.status == 0, ended.err
    runs = {one["seed"]: one for one in json.loads((tmp_path / "bench.json").read_text())["runs"]}
    assert set(runs) == {1, 2}
    assert all(one["steps"] >= 1 and one["cpu_seconds_asked"] == 4 for one in runs.values())
    assert (tmp_path / "runs" / "clip-driven@2").is_dir()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--systems", "nnunet"), "--systems has no 'nnunet'"),
        (("--systems", "kprism", "--seeds", "one"), "seed 'one' of --seeds"),
        (("--systems", "kprism", "--train-sets", "none"), "no training set 'none'"),
        (("--systems", "kprism", "--size", "huge"), "no size 'huge'"),
    ],
)
def test_what_cannot_be_compared_is_said(
    medprism: Command, store: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    ended = medprism(
        "bench", "run", "--store", store, "--out", tmp_path / "o", "--steps", "1", *options
    )
    assert ended.status == 2
    assert said in ended.err


def test_a_bench_of_another_size_is_not_mixed_in(
    medprism: Command, store: Path, finished: Path
) -> None:
    ended = medprism(*ask(store, finished, "kprism", "--steps", "2", "--train-sets", "scenes"))
    assert ended.status == 2
    assert "choose another folder" in ended.err


def test_the_list_names_every_system(medprism: Command) -> None:
    ended = medprism("bench", "list")
    assert ended.status == 0
    for name in (*TRAINED, "unet-task", "GrabCut"):
        assert f"| {name} |" in ended.out


def test_weights_of_experts_are_shown_for_every_way_of_asking(
    medprism: Command, nano: Path, store: Path
) -> None:
    asked = ("bench", "experts", "--store", store, "--dataset", "scenes", "--limit", "1")
    ended = medprism(*asked, "--model", nano, "--threads", "1")
    assert ended.status == 0, ended.err
    assert "| one-shot | all | all |" in ended.out
    assert "| interactive | all | all |" in ended.out
    unknown = medprism(*asked[:-3], "nowhere", "--model", nano)
    assert unknown.status == 2


def test_a_system_whose_package_is_missing_is_left_out_and_the_rest_goes_on(
    medprism: Command, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medprism.evaluation.bench.systems.find_spec", lambda name: None)
    ended = medprism(*ask(store, tmp_path, "unetr,clip-driven"))
    assert ended.status == 0, ended.err
    assert "unetr is left out: it needs pip install monai" in ended.err
    document = json.loads((tmp_path / "bench.json").read_text())
    assert {one["system"] for one in document["runs"]} == {"clip-driven"}


def test_cases_are_drawn_beside_the_results(medprism: Command, store: Path, finished: Path) -> None:
    asked = ("bench", "panels", "--out", finished, "--store", store, "--cases", "1")
    ended = medprism(*asked, "--threads", "1")
    assert ended.status == 0, ended.err
    assert "(drawn: 1, kept: 0)" in ended.out
    page = (finished / "panels" / "index.html").read_text()
    for name in (*TRAINED, "UNet", "GrabCut"):
        assert f">{name}" in page
    assert "no weights of it in runs/" in page
    assert "(drawn: 0, kept: 1)" in medprism(*asked).out
    wrong = medprism(*asked, "--systems", "kprism,nobody")
    assert wrong.status == 2
    assert "no system 'nobody'" in wrong.err


def test_clicks_on_first_masks_are_counted_and_their_saving_judged(
    medprism: Command, store: Path, tmp_path: Path
) -> None:
    asked = ("--steps", "1", "--clicks", "10", "--limit", "1")
    few = medprism(*ask(store, tmp_path, "kprism", *asked, "--refine-clicks", "3"))
    assert few.status == 0, few.err
    document = json.loads((tmp_path / "bench.json").read_text())
    assert document["saved_clicks"] == []
    (claim,) = [
        one
        for one in document["claims"]
        if one["part"].get("protocol") == "refine-semantic" and one["part"]["role"] == "train"
    ]
    assert (claim["verdict"], claim["part"]["limit"]) == ("not measured", 0.3)
    # Cells of another limit are never mixed in: they are refused, or examined anew elsewhere.
    more = medprism(*ask(store, tmp_path, "kprism", *asked))
    assert more.status == 2
    assert "refine_clicks" in more.err
    for path in (tmp_path / "cells").iterdir():
        path.unlink()
    again = medprism(*ask(store, tmp_path, "kprism", *asked))
    assert again.status == 0, again.err
    document = json.loads((tmp_path / "bench.json").read_text())
    ways = [(one["protocol"], one["role"]) for one in document["saved_clicks"]]
    assert ways == [("refine-semantic", "train"), ("refine-in-context", "train")]
    judged = [one for one in document["claims"] if one["part"].get("protocol") and one["interval"]]
    shares = [one["share"]["mean"] for one in document["saved_clicks"]]
    assert [one["interval"]["mean"] for one in judged] == shares
    assert "Clicks that a first mask saves" in (tmp_path / "bench.md").read_text()

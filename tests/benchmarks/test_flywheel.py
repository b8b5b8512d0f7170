"""The flywheel's measurement: on phantoms through the real server, and its figures by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.annotator import Annotator
from benchmarks.flywheel import cell as cell_module
from benchmarks.flywheel.__main__ import measure
from benchmarks.flywheel.cell import Cell, Turn, annotate, read_cell, write_cell
from benchmarks.flywheel.figures import compare, tables_of
from benchmarks.flywheel.plan import (
    CLICKS_ONLY,
    DRAWN,
    EXACT,
    FLYWHEEL,
    REACHED,
    UNSTEADY,
    Plan,
    UserSettings,
    plans_for,
)
from benchmarks.flywheel.report import by_place, write_report
from benchmarks.flywheel.structure import HEADLINE, Structure, in_order, read_samples
from benchmarks.server_process import RunningServer

from medprism.core.errors import ConfigError, LabelError, MedprismError, StoreError
from medprism.core.progress import SilentProgress
from tests.apps.workbench.conftest import SETTINGS, TOKEN, Live
from tests.evaluation.phantoms import write_scenes
from tests.inference.fake_segmenter import fake_model
from tests.untrained import save_untrained

SCENES = Structure("scenes", "liver")
USER = UserSettings(limit=4)
PATIENCE = SilentProgress()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_scenes(
        folder / "scenes",
        cases={"train": ["x"], "test": ["a", "b", "c", "d"]},
        images_per_patient=2,
        without=("d", "liver"),
    )
    return folder


@pytest.fixture
def annotator(tmp_path: Path) -> Iterator[Annotator]:
    (tmp_path / "project").mkdir()
    live = Live(tmp_path / "project", fake_model(), SETTINGS)
    with Annotator(RunningServer(live.address, TOKEN, 0)) as desk:
        yield desk
    live.end()


def _samples(data: Path, tmp_path: Path) -> tuple[cell_module.Sample, ...]:
    return read_samples(data, SCENES, 40, tmp_path)


def test_samples_are_those_that_show_the_structure(data: Path, tmp_path: Path) -> None:
    samples = _samples(data, tmp_path)
    assert [one.case for one in samples] == ["a", "b", "c"]
    assert samples[0].patient == samples[0].patient != samples[2].patient
    assert all(one.truth.any() for one in samples)
    fewer = read_samples(data, SCENES, 2, tmp_path)
    assert len(fewer) == 2 and {one.case for one in fewer} < {"a", "b", "c"}
    with pytest.raises(LabelError, match="no concept 'tail'"):
        read_samples(data, Structure("scenes", "tail"), 2, tmp_path)
    with pytest.raises(StoreError, match="no picture of split 'val'"):
        read_samples(data, replace(SCENES, split="val"), 2, tmp_path)
    with pytest.raises(LabelError, match="DATASET:CONCEPT"):
        Structure.parse("scenes", "test")


def test_every_order_is_a_permutation_of_its_own(data: Path, tmp_path: Path) -> None:
    samples = _samples(data, tmp_path)
    orders = [tuple(one.case for one in in_order(samples, number)) for number in range(12)]
    assert all(sorted(one) == ["a", "b", "c"] for one in orders)
    assert len(set(orders)) > 3
    assert orders == [tuple(one.case for one in in_order(samples, n)) for n in range(12)]


def test_two_of_the_three_structures_are_in_no_training_set() -> None:
    assert [one.is_unseen for one in HEADLINE] == [True, True, False]


def test_with_references_the_next_images_come_segmented(
    data: Path, tmp_path: Path, annotator: Annotator
) -> None:
    samples = _samples(data, tmp_path)
    plan = Plan(SCENES, EXACT, FLYWHEEL, REACHED, 0)
    found = annotate(annotator, plan, samples, USER, PATIENCE)
    assert [turn.case for turn in found.turns] == ["a", "b", "c"]
    assert [turn.references for turn in found.turns] == [0, 1, 2]
    assert found.turns[0].before == 0.0 and found.turns[0].scores
    assert all(turn.before > 0.3 for turn in found.turns[1:])
    kept = annotator.ask("GET", "/api/references")["references"]
    assert [one["image_name"] for one in kept] == ["0000.png", "0001.png", "0002.png"]


def test_with_clicks_only_every_image_starts_from_nothing(
    data: Path, tmp_path: Path, annotator: Annotator
) -> None:
    samples = _samples(data, tmp_path)
    plan = Plan(SCENES, UNSTEADY, CLICKS_ONLY, REACHED, 1)
    found = annotate(annotator, plan, samples, USER, PATIENCE)
    assert [turn.before for turn in found.turns] == [0.0, 0.0, 0.0]
    assert [turn.references for turn in found.turns] == [0, 0, 0]
    assert annotator.ask("GET", "/api/references")["references"] == []
    assert annotator.ask("GET", "/api/project")["images"]["accepted"] == 3


@pytest.mark.parametrize("accepts", [REACHED, DRAWN])
def test_what_is_accepted_where_the_target_is_out_of_reach(
    data: Path, tmp_path: Path, annotator: Annotator, accepts: str
) -> None:
    samples = _samples(data, tmp_path)
    user = UserSettings(target=1.0, limit=1)
    plan = Plan(SCENES, EXACT, FLYWHEEL, accepts, 0)
    found = annotate(annotator, plan, samples, user, PATIENCE)
    assert all(turn.clicks(user) == 1 for turn in found.turns)
    missed = [place for place, turn in enumerate(found.turns) if not turn.is_reached(1.0)]
    assert missed
    for place in missed:
        (kept,) = annotator.ask("GET", f"/api/images/{place + 1}/accepted?slice=0")["accepted"]
        pixels = int(samples[place].truth.sum())
        assert (kept["pixels"] == pixels) == (accepts == DRAWN)


def test_an_image_on_which_nothing_is_found_is_skipped(
    data: Path, tmp_path: Path, annotator: Annotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = _samples(data, tmp_path)
    click = Annotator.click

    def find_nothing(self: Annotator, state: object, *more: object) -> np.ndarray:
        found = click(self, state, *more)  # type: ignore[arg-type]
        return np.zeros_like(found) if state["image"] == 2 else found  # type: ignore[index]

    monkeypatch.setattr(Annotator, "click", find_nothing)
    plan = Plan(SCENES, EXACT, CLICKS_ONLY, REACHED, 0)
    found = annotate(annotator, plan, samples, USER, PATIENCE)
    assert len(found.turns) == 3 and found.turns[1].clicks(USER) == USER.limit
    counts = annotator.ask("GET", "/api/project")["images"]
    assert (counts["accepted"], counts["skipped"]) == (2, 1)


def test_a_refusal_of_the_server_is_an_error_with_its_own_words(annotator: Annotator) -> None:
    with pytest.raises(MedprismError, match="404"):
        annotator.open(77)


def test_cells_are_kept_and_not_measured_twice(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_untrained(tmp_path / "nano.safetensors")
    out = tmp_path / "out"

    @contextmanager
    def serve_here(folder: Path, model: str) -> Iterator[RunningServer]:
        assert model == str(tmp_path / "nano.safetensors")
        live = Live(folder, fake_model(), SETTINGS)
        yield RunningServer(live.address, TOKEN, 0)
        live.end()

    # test_load.py has the program in a process of its own.
    monkeypatch.setattr(cell_module, "running_server", serve_here)

    def go(target: float = 0.9) -> list[Cell]:
        return measure(
            data,
            out,
            str(tmp_path / "nano.safetensors"),
            (SCENES,),
            user=UserSettings(limit=1, target=target),
            users=(EXACT,),
            accepts=(REACHED,),
            orders=1,
            images=2,
            progress=PATIENCE,
        )

    first = go()
    assert [one.plan.method for one in first] == [CLICKS_ONLY, FLYWHEEL]
    assert all(len(one.turns) == 2 for one in first)

    def refuse(*_: object) -> Cell:
        raise AssertionError("measured again")

    monkeypatch.setattr("benchmarks.flywheel.__main__.run_cell", refuse)
    assert go() == first
    with pytest.raises(StoreError, match="other weights, images or settings"):
        go(target=0.8)
    write_report(first, UserSettings(limit=1), {"name": "nano", "weights": "0" * 64}, out)
    page = (out / "flywheel.md").read_text(encoding="utf-8")
    assert "liver (scenes)" in page
    assert json.loads((out / "flywheel.json").read_text())["comparisons"][0]["images"] == 2
    assert (out / "flywheel.png").read_bytes()[:4] == b"\x89PNG"


def _turn(case: str, clicks: int, *, before: float = 0.0, user: UserSettings = USER) -> Turn:
    """Return a turn that reaches the target with the last click; with limit + 1, never."""
    is_reached = clicks <= user.limit
    scores = [0.5] * min(clicks, user.limit)
    if is_reached and scores:
        scores[-1] = 0.95
    return Turn(
        case=case,
        patient=f"p{case}",
        references=0,
        before=0.95 if clicks == 0 else before,
        scores=tuple(scores),
        opening=0.1,
        clicking=0.2 * clicks,
        accepting=0.1,
    )


def _cells(user: str = EXACT) -> list[Cell]:
    """Two orders of four images: 4, 3, 2 and never by clicks, fewer on the way of the flywheel."""
    alone = Cell(
        Plan(SCENES, user, CLICKS_ONLY, REACHED, 0),
        (_turn("a", 4), _turn("b", 3), _turn("c", 2), _turn("d", 5)),
    )
    one = Cell(
        Plan(SCENES, user, FLYWHEEL, REACHED, 0),
        (_turn("a", 4), _turn("b", 1, before=0.6), _turn("c", 0), _turn("d", 1, before=0.8)),
    )
    other = Cell(
        Plan(SCENES, user, FLYWHEEL, REACHED, 1),
        (_turn("d", 5), _turn("c", 1, before=0.4), _turn("b", 1, before=0.6), _turn("a", 0)),
    )
    return [alone, one, other]


def test_clicks_count_the_limit_where_the_target_is_missed() -> None:
    assert [_turn("a", clicks).clicks(USER) for clicks in (0, 1, 4, 5)] == [0, 1, 4, 4]
    assert not _turn("a", 5).is_reached(USER.target)


def test_figures_are_those_of_a_count_by_hand() -> None:
    (found,) = compare(_cells(), USER)
    # Never counts as four: 4 3 2 4 twice, and 4 1 0 1 with 4 1 1 0.
    assert (found.images, found.orders) == (4, 2)
    assert found.clicks_only.median.value == 3.5 and found.clicks_only.mean.value == 3.25
    assert found.flywheel.median.value == 1.0 and found.flywheel.mean.value == 1.5
    assert found.fewer_by_median.value == pytest.approx(1 - 1 / 3.5)
    assert found.fewer_by_mean.value == pytest.approx(1 - 1.5 / 3.25)
    assert found.fewer_by_mean.low <= found.fewer_by_mean.value <= found.fewer_by_mean.high
    assert found.meets_goal
    assert (found.clicks_only.reached, found.flywheel.reached) == (0.75, 0.875)
    assert found.clicks_only.seconds == pytest.approx(np.median([1.0, 0.8, 0.6, 1.2]))
    # Before, then after one, three, five and ten clicks; e.g. the flywheel before its first click.
    before = [0, 0.6, 0.95, 0.8, 0, 0.4, 0.6, 0.95]
    assert found.flywheel.dice[0] == pytest.approx(np.mean(before))
    assert found.clicks_only.dice == pytest.approx(
        [0.0, 0.5, (0.5 + 0.95 + 0.95 + 0.5) / 4, *[(3 * 0.95 + 0.5) / 4] * 2]
    )
    first, rest = found.stretches
    assert (first.first, first.last, first.flywheel, first.dice_before) == (0, 1, 4.0, 0.0)
    assert rest.flywheel == pytest.approx(4 / 6)
    assert rest.clicks_only == pytest.approx((3 + 2 + 4 + 2 + 3 + 4) / 6)
    assert rest.dice_before == pytest.approx((0.6 + 0.95 + 0.8 + 0.4 + 0.6 + 0.95) / 6)


def test_the_curve_is_by_place_and_not_by_image() -> None:
    tables = tables_of(_cells(), SCENES, EXACT, REACHED, USER)
    assert tables is not None
    assert tables.place.tolist() == [[0, 1, 2, 3], [3, 2, 1, 0]]
    assert by_place(tables, tables.flywheel.tolist())[0] == 4.0
    # Smoothed over two places to each side, the first one alone.
    curve = by_place(tables, tables.place.astype(float).tolist())
    assert curve == [0.0, 2.0, 2.0, 2.0]


def test_an_unsteady_user_is_paired_order_by_order() -> None:
    (found,) = compare(_cells(UNSTEADY), USER)
    assert found.orders == 1
    assert compare(_cells()[1:], USER) == ()


def test_less_than_thirty_percent_is_not_the_goal() -> None:
    alone, one, _ = _cells()
    slow = replace(one, turns=alone.turns)
    (found,) = compare([alone, slow], USER)
    assert found.fewer_by_median.value == 0.0 and not found.meets_goal


def test_only_what_depends_on_the_order_is_measured_anew() -> None:
    plans = plans_for(SCENES, (EXACT, UNSTEADY), (REACHED, DRAWN), 3)
    assert len({plan.name for plan in plans}) == len(plans) == 1 + 3 + 2 * 2 * 3
    assert sum(plan.method == CLICKS_ONLY for plan in plans) == 4


def test_a_user_without_clicks_is_refused() -> None:
    for wrong in ({"limit": 0}, {"target": 0.0}, {"spread": -1.0}):
        with pytest.raises(ConfigError):
            UserSettings(**wrong)  # type: ignore[arg-type]


def test_a_cell_comes_back_as_it_was_written(tmp_path: Path) -> None:
    cell = _cells()[1]
    write_cell(tmp_path / "cell.json", cell, {"weights": "w"})
    assert read_cell(tmp_path / "cell.json", cell.plan, {"weights": "w"}) == cell
    assert read_cell(tmp_path / "none.json", cell.plan, {"weights": "w"}) is None

"""Pictures of cases: chosen by a rule, drawn once, and what is missing is said."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medprism.core.errors import CancelledError, LabelError, StoreError
from medprism.core.progress import SilentProgress
from medprism.data.store import SliceStore
from medprism.evaluation.bench.examination import CELLS
from medprism.evaluation.bench.panels import ANSWER, GAP, PANELS, SIDE, TRUTH, draw_panels
from medprism.evaluation.bench.runs import RUNS
from medprism.evaluation.benchmark import cell_path
from medprism.evaluation.results import read_cell, write_cell
from medprism.io.sheet import EMPTY


@pytest.fixture
def own(nano_bench: Path, tmp_path: Path) -> Path:
    """The bench, to be spoilt."""
    return Path(shutil.copytree(nano_bench, tmp_path / "bench"))


def cell_of(out: Path, method: str) -> Path:
    return cell_path(out / CELLS, method, "scenes")


def test_every_way_of_asking_has_rows_with_image_truth_and_answers(
    own: Path, scenes: SliceStore
) -> None:
    made = draw_panels(own, scenes, cases=2)
    assert (made.drawn, made.kept) == (("scenes",), ())
    picture = np.asarray(Image.open(own / PANELS / "scenes.png"))
    left = SIDE * 2 // 3 + GAP
    columns = [picture[:, left + n * (SIDE + GAP) :][:, :SIDE] for n in range(4)]
    sixth = picture.shape[0] // 6
    image, truth, ours = ((column == TRUTH).all(-1).any(1) for column in columns[:3])
    found = (columns[3] == ANSWER).all(-1).any(1)
    assert not image.any()
    # The truth is on each of the six rows, GrabCut's answer on the last two alone.
    for row in range(6):
        inside = slice(row * sixth, (row + 1) * sixth)
        assert truth[inside].any() and ours[inside].any()
        assert found[inside].any() == (row >= 4)
        assert ((columns[3][inside] == EMPTY).all(-1).mean() > 0.5) == (row < 4)
    page = (own / PANELS / "index.html").read_text()
    assert page.count("not asked this way") == 4
    assert page.count("<td>by class</td>") + page.count(">by class</th>") == 2
    assert 'src="scenes.png"' in page
    assert (own / PANELS / ".gitignore").read_text() == "*\n"


def test_pictures_are_drawn_again_only_where_something_changed(
    own: Path, scenes: SliceStore
) -> None:
    assert draw_panels(own, scenes, cases=1).drawn == ("scenes",)
    picture = own / PANELS / "scenes.png"
    before = picture.stat().st_mtime_ns
    assert draw_panels(own, scenes, cases=1).kept == ("scenes",)
    assert picture.stat().st_mtime_ns == before
    assert draw_panels(own, scenes, cases=2).drawn == ("scenes",)
    assert draw_panels(own, scenes, cases=2, systems=["kprism"]).drawn == ("scenes",)
    shutil.rmtree(own / RUNS / "kprism")
    assert draw_panels(own, scenes, cases=2, systems=["kprism"]).drawn == ("scenes",)
    picture.unlink()
    assert draw_panels(own, scenes, cases=2, systems=["kprism"]).drawn == ("scenes",)


def test_a_cell_says_why_a_system_has_no_picture(own: Path, scenes: SliceStore) -> None:
    path = cell_of(own, "kprism")
    cell = read_cell(path)
    write_cell(path, replace(cell, plan={**cell.plan, "weights": "of another run"}))
    moved = replace(cell, method="sam2 (official)", rows=cell.rows)
    write_cell(cell_of(own, "sam2 (official)"), moved)
    lacks = replace(cell, method="iris", rows=cell.rows[:1])
    write_cell(cell_of(own, "iris"), lacks)
    made = draw_panels(own, scenes, cases=3)
    page = made.page.read_text()
    for why in (
        "its weights are not those examined",
        "no weights of it in runs/",
        "not asked this way",
        "no answer to this case",
    ):
        assert why in page, why


def test_what_cannot_be_drawn_is_said(own: Path, scenes: SliceStore, tmp_path: Path) -> None:
    class Impatient(SilentProgress):
        def is_cancelled(self) -> bool:
            return True

    with pytest.raises(LabelError, match="no system 'nobody'; there is GrabCut, kprism"):
        draw_panels(own, scenes, systems=["nobody"])
    with pytest.raises(LabelError, match="no set 'outside'"):
        draw_panels(own, scenes, datasets=["outside"])
    with pytest.raises(StoreError, match="holds no results"):
        draw_panels(tmp_path / "nothing", scenes)
    with pytest.raises(CancelledError, match="drawing was cancelled in scenes"):
        draw_panels(own, scenes, progress=Impatient())
    fewer = scenes.with_rows(
        [row for row in scenes.rows if row.split != "test"], dict(scenes.infos)
    )
    with pytest.raises(StoreError, match="give the store of the bench"):
        draw_panels(own, fewer)

"""Systems asked again about a case give the masks that were examined."""

from __future__ import annotations

import shutil
from pathlib import Path

from medprism.data.store import SliceStore
from medprism.evaluation.bench.asked_again import Manner, Remains, open_again, remains_of
from medprism.evaluation.bench.examination import CELLS, concepts_of
from medprism.evaluation.bench.panel_cases import SHOWN, shown_dice
from medprism.evaluation.bench.runs import RUNS
from medprism.evaluation.benchmark import read_cells
from medprism.evaluation.cases import targets_of


def test_what_is_asked_again_is_what_was_examined(nano_bench: Path, scenes: SliceStore) -> None:
    targets = {one.concept: one for one in targets_of(scenes, "scenes", concepts_of(scenes))}
    numbers = {row.case_id: n for n, row in enumerate(scenes.rows) if row.dataset == "scenes"}
    asked = set()
    for cell in read_cells(nano_bench / CELLS):
        assert remains_of(cell.method, nano_bench).weights is not None
        system = open_again(cell.method, Manner.of(cell.plan), out=nano_bench, store=scenes)
        for row in cell.rows:
            if row.protocol in SHOWN:
                target = targets[row.concept]
                seen = system.see(numbers[row.case], target, row.protocol)
                assert seen is not None
                assert seen.dice == shown_dice(row)
                assert seen.mask.sum() == row.overlap.mask
                assert len(seen.clicks) == (0 if row.protocol != "interactive" else len(row.values))
                asked.add((cell.method, row.protocol))
    assert asked == {("GrabCut", "interactive"), *(("kprism", name) for name in SHOWN)}


def test_a_system_that_cannot_be_asked_says_why(nano_bench: Path, tmp_path: Path) -> None:
    assert remains_of("GrabCut", tmp_path) == Remains("GrabCut")
    assert remains_of("UNet", nano_bench) == Remains(None, "no weights of it in runs/")
    folder = shutil.copytree(nano_bench / RUNS / "kprism", tmp_path / RUNS / "kprism")
    assert remains_of("kprism", tmp_path) == remains_of("kprism", nano_bench)
    described = folder / "run.json"
    text = described.read_text()
    described.write_text(text.replace('"recipe": "kprism"', '"recipe": "tomorrow"'))
    assert remains_of("kprism", tmp_path) == Remains(None, "this version does not know it")
    described.write_text(text)
    (folder / "state.safetensors").unlink()
    assert remains_of("kprism", tmp_path) == Remains(None, "its run is not finished")

"""Pictures of the median and worst cases of a bench: image, truth, what every system found.

They are made of the images of a store and so stay with the results, in OUT/panels; nothing there is
ever to be committed, and a .gitignore in the folder says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

from medprism.core.durable import make_folder, read_json, write_bytes, write_json
from medprism.core.errors import LabelError, StoreError
from medprism.core.image import Image
from medprism.core.progress import Progress, SilentProgress
from medprism.core.prompt import Mask2d
from medprism.data.store import SliceStore
from medprism.evaluation.bench.asked_again import Manner, Remains, Seen, open_again, remains_of
from medprism.evaluation.bench.examination import CELLS, concepts_of
from medprism.evaluation.bench.panel_cases import SHOWN, ShownCase, choose_cases
from medprism.evaluation.bench.panel_page import FORMAT, VERSION, render_page
from medprism.evaluation.bench.systems import SYSTEMS
from medprism.evaluation.benchmark import Offset, read_cells, slug
from medprism.evaluation.cases import StoreReader, Target, targets_of
from medprism.evaluation.results import Cell
from medprism.io.overlay import outline
from medprism.io.palette import colour
from medprism.io.sheet import WHITE, Page, beside, captioned, centred, stacked, text_cell
from medprism.io.writer import write_png

PANELS: Final = "panels"
PAGE: Final = "index.html"
SIDE: Final = 224
BAND: Final = 24
LETTERS: Final = 14
GAP: Final = 8
# Orange and sky blue stay apart with every common colour blindness.
TRUTH: Final = colour(1)
ANSWER: Final = colour(2)
# To be raised when pictures come to look otherwise, so that those of before are drawn again.
DRAWING: Final = 1


@dataclass(frozen=True)
class DrawnPanels:
    """The page, and which sets were drawn or were there already."""

    page: Path
    drawn: tuple[str, ...]
    kept: tuple[str, ...]


def draw_panels(
    out: Path,
    store: SliceStore,
    *,
    cases: int = 3,
    systems: Sequence[str] = (),
    datasets: Sequence[str] = (),
    progress: Progress | None = None,
) -> DrawnPanels:
    """Draw one picture a set into OUT/panels, and the page that shows them all.

    Which cases is `panel_cases.RULE`, whatever systems are shown. `systems` are the columns (none:
    all that were examined, of several seeds the first), `datasets` the sets (none: all). A picture
    is not drawn again where its cells, and the weights in OUT/runs, are those it was made of.

    Raises:
        StoreError: nothing was examined yet, or the store is not that of the bench.
        LabelError: the bench has no such system or set.
        ConfigError: fewer than one case.
        CancelledError: the progress asked to stop; finished pictures are kept.
    """
    progress = progress or SilentProgress()
    cells = read_cells(out / CELLS)
    _refuse_unknown("system", systems, [cell.method for cell in cells])
    _refuse_unknown("set", datasets, [cell.facts.dataset for cell in cells])
    chosen: dict[str, list[ShownCase]] = {}
    for case in choose_cases(cells, cases):
        if not datasets or case.dataset in datasets:
            chosen.setdefault(case.dataset, []).append(case)
    columns = tuple(systems) or column_order(cells)
    artist = _Artist(out, store, cells, columns)
    folder = out / PANELS
    make_folder(folder)
    write_bytes(folder / ".gitignore", b"*\n")
    total, done = sum(map(len, chosen.values())) * len(columns), 0
    drawn: list[str] = []
    kept: list[str] = []
    for dataset, shown in chosen.items():
        steps = Offset(progress, done, total, dataset, "drawing")
        (drawn if artist.draw(dataset, shown, folder, steps) else kept).append(dataset)
        done += len(shown) * len(columns)
        progress.report(done, total, dataset)
    write_bytes(folder / PAGE, render_page(folder).encode())
    return DrawnPanels(folder / PAGE, tuple(drawn), tuple(kept))


def column_order(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Return the systems that have cells, ours first, without further seeds of the same."""
    names = {cell.method for cell in cells if "@" not in cell.method}
    known = [name for name in SYSTEMS if name in names]
    return (*known, *sorted(names - set(known)))


class _Artist:
    """What is needed to draw any set: cells, weights, truths."""

    def __init__(
        self, out: Path, store: SliceStore, cells: Sequence[Cell], columns: tuple[str, ...]
    ) -> None:
        self._store = store
        self._columns = columns
        self._cells = {(cell.method, cell.facts.dataset): cell for cell in cells}
        self._numbers = {(row.dataset, row.case_id): n for n, row in enumerate(store.rows)}
        self._reader = StoreReader(store)
        self._remains: dict[str, Remains] = {name: remains_of(name, out) for name in columns}
        self._open = cache(partial(open_again, out=out, store=store))
        self._targets = cache(self._targets_of)

    def draw(self, dataset: str, shown: Sequence[ShownCase], folder: Path, steps: Offset) -> bool:
        """Draw a set; return False where its picture is there already."""
        picture = folder / f"{slug(dataset)}.png"
        record = picture.with_suffix(".json")
        signature = self._signature(dataset, shown)
        if picture.exists() and record.exists():
            former = read_json(record, FORMAT, VERSION)
            if former.get("signature") == signature:
                return False
        rows, said = [], []
        for place, case in enumerate(shown):
            row, dice = self._row(case, steps, place * len(self._columns))
            rows.append(row)
            said.append({**asdict(case), "cells": dice})
        write_png(picture, stacked(rows, GAP))
        payload = {
            "signature": signature,
            "dataset": dataset,
            "picture": picture.name,
            "columns": list(self._columns),
            "rows": said,
        }
        write_json(record, FORMAT, VERSION, payload)
        return True

    def _row(
        self, case: ShownCase, steps: Offset, before: int
    ) -> tuple[Page, Mapping[str, float | str]]:
        """Return a row of the picture, and the Dice of each system, or why it has none."""
        number = self._numbers.get((case.dataset, case.case))
        wanted = self._targets(case.dataset).get(case.concept)
        if number is None or wanted is None:
            raise StoreError(
                f"the store {self._store.path} has no {case.concept} on {case.case} of "
                f"{case.dataset}, which the bench examined; give the store of the bench"
            )
        image, truth = self._reader.image(number), self._reader.truth(number, wanted)
        label = f"{SHOWN[case.protocol]}\n{case.why}\n{case.case}\n{case.concept}"
        plain = _panel(image, (), "image")
        height = plain.shape[0] - BAND
        parts = [
            text_cell(label, height=height, width=SIDE * 2 // 3, size=LETTERS, ground=WHITE),
            plain,
            _panel(image, ((truth, TRUTH),), "truth"),
        ]
        dice: dict[str, float | str] = {}
        for place, system in enumerate(self._columns):
            steps.check()
            steps.report(before + place)
            seen = self._see(system, case, number, wanted)
            if isinstance(seen, str):
                empty = text_cell(seen, height=height, width=SIDE, size=LETTERS)
                parts.append(captioned(empty, above=system, below="-", band=BAND, size=LETTERS))
                dice[system] = seen
                continue
            dice[system] = seen.dice
            clicks = f", {len(seen.clicks)} clicks" if seen.clicks else ""
            masks = ((truth, TRUTH), (seen.mask, ANSWER))
            parts.append(_panel(image, masks, system, f"{seen.dice:.3f}{clicks}", seen))
        return beside(parts, GAP), dice

    def _see(self, system: str, case: ShownCase, number: int, target: Target) -> Seen | str:
        """Return what a system makes of a case, or why that is not known."""
        cell, remains = self._cells.get((system, case.dataset)), self._remains[system]
        if cell is None:
            return "not examined on this set"
        rows = [row for row in cell.rows if row.protocol == case.protocol]
        if not rows:
            return "not asked this way"
        if (case.dataset, case.case, case.concept) not in {row.key for row in rows}:
            return "no answer to this case"
        if remains.weights is None:
            return remains.why
        if remains.weights != cell.plan.get("weights", system):
            return "its weights are not those examined"
        asked = self._open(system, Manner.of(cell.plan))
        return asked.see(number, target, case.protocol) or "no answer"

    def _targets_of(self, dataset: str) -> Mapping[str, Target]:
        targets = targets_of(self._store, dataset, concepts_of(self._store))
        return {target.concept: target for target in targets}

    def _signature(self, dataset: str, shown: Sequence[ShownCase]) -> str:
        """Return a hash of all that decides a picture."""
        decided = {
            "drawing": DRAWING,
            "order": self._columns,
            "cases": [asdict(case) for case in shown],
            "columns": {name: asdict(self._remains[name]) for name in self._columns},
            "plans": {
                name: self._cells[name, dataset].plan
                for name in self._columns
                if (name, dataset) in self._cells
            },
        }
        return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


def _panel(
    image: Image,
    masks: Sequence[tuple[Mask2d, tuple[int, int, int]]],
    above: str,
    below: str = "",
    seen: Seen | None = None,
) -> Page:
    clicks = () if seen is None else seen.clicks
    drawn = centred(outline(image, masks, clicks, long_side=SIDE), SIDE)
    return captioned(drawn, above=above, below=below, band=BAND, size=LETTERS)


def _refuse_unknown(kind: str, named: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in named if name not in known]
    if unknown:
        raise LabelError(
            f"the bench has examined no {kind} {unknown[0]!r}; there is "
            f"{', '.join(dict.fromkeys(known))}"
        )

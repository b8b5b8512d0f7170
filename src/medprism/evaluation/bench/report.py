"""The report of a bench, from whatever is finished: JSON, Markdown, one HTML file, a plot."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch

from medprism.core.durable import write_bytes, write_json
from medprism.core.errors import StoreError
from medprism.evaluation.bench.claims import claims_grid, judge
from medprism.evaluation.bench.examination import CELLS
from medprism.evaluation.bench.official.failures import read_failures
from medprism.evaluation.bench.official.overview import overview_grids
from medprism.evaluation.bench.official.packages import OFFICIAL, is_official
from medprism.evaluation.bench.pages import (
    Grid,
    draw_clicks,
    grid_of,
    render_html,
    render_markdown,
    run_grid,
    show,
)
from medprism.evaluation.bench.quoted import quoted_grids
from medprism.evaluation.bench.runs import RUNS, describe_run
from medprism.evaluation.bench.savings import saved_clicks, saved_grid
from medprism.evaluation.bench.tables import (
    TABLED,
    Table,
    make_tables,
    paired_difference,
    title_of,
)
from medprism.evaluation.benchmark import read_cells
from medprism.evaluation.comparison import common_rows
from medprism.evaluation.convergence import Curve, curves_of
from medprism.evaluation.results import Cell
from medprism.metrics.bootstrap import Interval
from medprism.training.run import is_finished

FORMAT: Final = "medprism-bench"
VERSION: Final = 1
CURVES: Final = "clicks.svg"
OFFICIAL_CURVES: Final = "clicks-official.svg"


@dataclass(frozen=True)
class Written:
    """What a report was made of: finished runs, and the systems that have cells."""

    runs: tuple[str, ...]
    systems: tuple[str, ...]
    page: Path


def write_bench(out: Path) -> Written:
    """Write the report of what is finished in a folder; what is not is said to be missing.

    Raises:
        StoreError: nothing was examined yet.
        FormatVersionError: a file of the bench is damaged or of a newer version.
    """
    cells = read_cells(out / CELLS)
    folders = _finished(out)
    runs = [describe_run(folder) for folder in folders]
    failures = read_failures(out, cells)
    tables = make_tables(cells, failures=failures)
    findings = judge(cells)
    savings = saved_clicks(cells)
    measured = _measured(tables, overview_grids(cells, failures))
    saved = [saved_grid(savings)] if savings else []
    grids = [run_grid(runs), claims_grid(findings), *saved, *measured, *quoted_grids()]
    curves = curves_of(cells)
    drawn = {name: draw_clicks(found) for name, found in _by_tier(curves).items() if found}
    facts = _facts(cells)
    payload = {
        "facts": facts,
        "runs": runs,
        "claims": [asdict(finding) for finding in findings],
        "saved_clicks": [asdict(one) for one in savings],
        "tables": [asdict(table) for table in tables],
        "official_failures": [asdict(one) for one in failures],
        "curves": [asdict(curve) for curve in curves],
    }
    write_json(out / "bench.json", FORMAT, VERSION, payload)
    for name, picture in drawn.items():
        write_bytes(out / name, picture.encode())
    write_bytes(out / "bench.md", render_markdown(facts, grids, list(drawn)).encode())
    page = out / "bench.html"
    write_bytes(page, render_html(facts, grids, list(drawn.values())).encode())
    systems = tuple(dict.fromkeys(cell.method for cell in cells))
    return Written(tuple(one.name for one in folders), systems, page)


@dataclass(frozen=True)
class Difference:
    """One measure of one system in one role: the second bench minus the first, pair by pair."""

    system: str
    role: str
    measure: str
    num_pairs: int
    difference: Interval


def compare_benches(
    first: Path, second: Path, measures: Sequence[str] = TABLED
) -> tuple[Difference, ...]:
    """Return what changed from one bench to another, on the pairs that both answered.

    Raises:
        StoreError: a folder holds no cells, or the two have no system in common.
    """
    before, after = read_cells(first / CELLS), read_cells(second / CELLS)
    shared = sorted({one.method for one in before} & {one.method for one in after})
    if not shared:
        raise StoreError(
            f"{first} and {second} have no system in common; examine one of the same name in both"
        )
    found = [
        _change(system, role, measure, before, after)
        for system in shared
        for role in sorted({cell.facts.role for cell in before})
        for measure in measures
    ]
    return tuple(one for one in found if one is not None)


def difference_grid(changes: Sequence[Difference]) -> Grid:
    """Return the changes as a table."""
    return Grid(
        title="The second bench against the first",
        notes=(
            "Mean over sets of the difference, pair by pair, with the 95 % interval over patients; "
            "it holds where the interval leaves out zero.",
        ),
        header=("system", "what it is", "role", "measure", "pairs", "difference"),
        rows=tuple(
            (
                one.system,
                title_of(one.system)[0],
                one.role,
                one.measure,
                str(one.num_pairs),
                show(one.difference, signed=True),
            )
            for one in changes
        ),
    )


def _change(
    system: str, role: str, measure: str, before: Sequence[Cell], after: Sequence[Cell]
) -> Difference | None:
    """Return one change; None where the two have no pair in common."""
    old = [one for one in before if one.method == system and one.facts.role == role]
    new = [one for one in after if one.method == system and one.facts.role == role]
    rows_old = common_rows(measure, old).get(system, [])
    keys = {row.key for row in rows_old}
    rows_new = [row for row in common_rows(measure, new).get(system, []) if row.key in keys]
    kept = {row.key for row in rows_new}
    difference = paired_difference(measure, rows_new, [r for r in rows_old if r.key in kept])
    return (
        None if difference is None else Difference(system, role, measure, len(rows_new), difference)
    )


def _measured(tables: Sequence[Table], overview: Sequence[Grid]) -> list[Grid]:
    """Return the tables as text: those of the same budget, then official packages with theirs."""
    same = [grid_of(table) for table in tables if table.tier != OFFICIAL]
    official = [grid_of(table) for table in tables if table.tier == OFFICIAL]
    return [*same, *overview, *official]


def _by_tier(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """Return the curves of each picture by the name of its file."""
    return {
        CURVES: [one for one in curves if not is_official(one.method)],
        OFFICIAL_CURVES: [one for one in curves if is_official(one.method)],
    }


def _finished(out: Path) -> list[Path]:
    folders = sorted(path for path in (out / RUNS).glob("*") if path.is_dir())
    return [folder for folder in folders if is_finished(folder)]


def _facts(cells: Sequence[Cell]) -> dict[str, Any]:
    limits = sorted({str(cell.plan.get("limit")) for cell in cells})
    return {
        "code": f"medprism {version('medprism')}",
        "machine": f"{platform.machine()}, torch {torch.__version__}",
        "slices of a set at most": ", ".join(limits),
        "split": ", ".join(sorted({cell.facts.split for cell in cells})),
    }

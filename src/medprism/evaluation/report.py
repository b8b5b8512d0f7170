"""The report of a benchmark: JSON for programs, Markdown for people, a picture of the clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from medprism.core.durable import write_bytes, write_json
from medprism.evaluation.convergence import draw_curves
from medprism.evaluation.figures import Figures, make_figures
from medprism.evaluation.measures import MEASURES
from medprism.evaluation.page import render
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.results import Cell
from medprism.evaluation.summary import RULES

FORMAT: Final = "medprism-evaluation"
VERSION: Final = 1


def write_report(cells: Sequence[Cell], out: Path) -> Figures:
    """Write report.json, report.md and, where there are clicks, convergence.png into a folder.

    Raises:
        WriteError: a file cannot be written.
    """
    figures = make_figures(cells)
    payload = {
        "rules": {**RULES, "reference": FixedReferences.rule},
        "measures": {name: measure.meaning for name, measure in MEASURES.items()},
        **asdict(figures),
    }
    write_json(out / "report.json", FORMAT, VERSION, payload)
    if figures.curves:
        draw_curves(figures.curves, out / "convergence.png")
    write_bytes(out / "report.md", render(figures).encode())
    return figures

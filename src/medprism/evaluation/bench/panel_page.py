"""The page of a bench's pictures: one a set, with its Dice as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from medprism.core.durable import read_json
from medprism.evaluation.bench.pages import Grid, html_page, html_table
from medprism.evaluation.bench.panel_cases import RULE, SHOWN
from medprism.evaluation.bench.tables import title_of

FORMAT: Final = "medprism-bench-panels"
VERSION: Final = 1

LEGEND: Final = (
    "Orange: the contour of the truth. Blue: what the system found, above it where they coincide. "
    "A plus is a click inside, a minus one outside. Below a picture: Dice of the mask that "
    "is shown, computed anew from the weights of the run. A grey cell says why there is none."
)


def render_page(folder: Path) -> str:
    """Return the page of all pictures in a folder, sets by name.

    Raises:
        FormatVersionError: what was written beside a picture is damaged or of a newer version.
    """
    body = ["<h1>Cases</h1>", *(f"<p>{escape(line)}</p>" for line in (RULE, LEGEND))]
    for path in sorted(folder.glob("*.json")):
        body += _set(read_json(path, FORMAT, VERSION))
    return html_page("Cases of a bench", body)


def _set(record: Mapping[str, Any]) -> list[str]:
    dataset, picture = escape(str(record["dataset"])), escape(str(record["picture"]))
    described = f"Cases of {dataset}: image, truth and the answers of every system"
    columns = [str(name) for name in record["columns"]]
    return [
        f"<h2>{dataset}</h2>",
        f'<div class="wide"><img src="{picture}" alt="{described}" loading="lazy"></div>',
        html_table(
            Grid(
                title=dataset,
                notes=(),
                header=("asked", "case", "structure", "chosen as", *map(_column, columns)),
                rows=tuple(_row(row, columns) for row in record["rows"]),
            )
        ),
    ]


def _column(system: str) -> str:
    title, _ = title_of(system)
    return system if title == system else f"{system} ({title})"


def _row(row: Mapping[str, Any], columns: Sequence[str]) -> tuple[str, ...]:
    cells = row["cells"]
    return (
        SHOWN[row["protocol"]],
        str(row["case"]),
        str(row["concept"]),
        f"{row['why']} of {row['by']} ({row['dice']:.3f})",
        *(
            f"{cells[name]:.3f}" if isinstance(cells[name], float) else str(cells[name])
            for name in columns
        ),
    )

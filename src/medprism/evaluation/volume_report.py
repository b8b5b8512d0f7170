"""The report of whole volumes: Dice, HD95 and NSD by class, with intervals over patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from medprism.core.durable import write_bytes, write_json
from medprism.core.errors import StoreError
from medprism.evaluation.measures import MEASURES
from medprism.evaluation.page import table
from medprism.evaluation.results import Cell, by_role
from medprism.evaluation.summary import RULES, Average, SetSummary, summarise
from medprism.evaluation.volumes import VOLUME_IN_CONTEXT, VOLUME_SEMANTIC

FORMAT: Final = "medprism-volume-evaluation"
VERSION: Final = 1
PAGE: Final = "volumes.md"
DOCUMENT: Final = "volumes.json"

# Ending of a measure's name -> what was said.
WAYS: Final = {"": "by class", " by reference": "by slices of one other volume"}
# Measure -> what it is called, its unit, and how it is written.
COLUMNS: Final = {
    "volume Dice": ("Dice", "", ".3f"),
    "volume HD95": ("HD95", "mm", ".1f"),
    "volume NSD": ("NSD", "", ".3f"),
}


@dataclass(frozen=True)
class VolumeFigures:
    """All figures of one method on the volumes of one set in one role.

    `lacking` are structures that the set labels and the model has no class for.
    """

    summary: SetSummary
    plan: Mapping[str, Any]
    lacking: tuple[str, ...]


def write_volume_report(
    cells: Sequence[Cell], out: Path, lacking: Mapping[str, Sequence[str]] | None = None
) -> tuple[VolumeFigures, ...]:
    """Write volumes.json and volumes.md into a folder and return what they say.

    Cells of slices are left out. `lacking` are, by set, structures that could not be asked for by
    class.

    Raises:
        StoreError: no cell is of whole volumes.
        WriteError: a file cannot be written.
    """
    said = lacking or {}
    figures = tuple(
        VolumeFigures(summarise(part), part.plan, tuple(said.get(part.facts.dataset, ())))
        for cell in cells
        if any(row.protocol in (VOLUME_SEMANTIC, VOLUME_IN_CONTEXT) for row in cell.rows)
        for part in by_role(cell)
    )
    if not figures:
        raise StoreError(f"{out} holds no results of whole volumes; run an evaluation of some")
    payload = {
        "rules": {"interval": RULES["interval"]},
        "measures": {
            f"{name}{way}": MEASURES[f"{name}{way}"].meaning for way in WAYS for name in COLUMNS
        },
        "sets": [asdict(one) for one in figures],
    }
    write_json(out / DOCUMENT, FORMAT, VERSION, payload)
    write_bytes(out / PAGE, _render(figures).encode())
    return figures


def headline(figures: Sequence[VolumeFigures]) -> str:
    """Return a line for each set, role and way of asking: the means over classes."""
    return "\n".join(
        f"{one.summary.facts.dataset} ({one.summary.facts.role}), {one.summary.method} {said}: "
        + ", ".join(
            f"{title} {_cell(figure, name)} {unit}".rstrip()
            for name, (title, unit, _) in COLUMNS.items()
            if (figure := one.summary.figures.get(f"{name}{way}")) is not None
        )
        for one in figures
        for way, said in WAYS.items()
        if f"volume Dice{way}" in one.summary.figures
    )


def _render(figures: Sequence[VolumeFigures]) -> str:
    parts = [
        "# Whole volumes",
        "Dice, 95 % Hausdorff distance (HD95) and surface Dice (NSD) are 3-D, on each "
        "volume's own grid. HD95 is the image's diagonal where nothing is found. A volume counts "
        "for the structures it shows; one without physical spacing has Dice alone. Mean over "
        "volumes; last row: mean over the structures of these means. Intervals: "
        f"{RULES['interval']}.",
    ]
    for one in figures:
        parts += _set(one)
    return "\n\n".join(parts) + "\n"


def _set(one: VolumeFigures) -> list[str]:
    facts, plan = one.summary.facts, one.plan
    parts = [
        f"## {facts.dataset} ({facts.role}): {one.summary.method}",
        f"{facts.num_examined} of {facts.num_images} {facts.split} volumes, {facts.num_patients} "
        f"patients{'' if facts.knows_patients else ' (some unknown: a volume counts as one)'}; "
        f"weights {str(plan.get('weights'))[:12]}, engine {plan.get('engine')}, auto-zoom "
        f"{plan.get('auto_zoom')}, NSD within {plan.get('tolerance_mm')} mm.",
    ]
    if one.lacking:
        parts.append(f"Not asked by class, as the model lacks it: {', '.join(one.lacking)}.")
    for way, said in WAYS.items():
        rows = [
            _row(name, way, own)
            for name, own in (*one.summary.by_class.items(), ("mean", one.summary.figures))
            if f"volume Dice{way}" in own
        ]
        if rows:
            shown = f" ({plan.get('shots')} shown)" if way else ""
            columns = [
                f"{title} in {unit}" if unit else title for title, unit, _ in COLUMNS.values()
            ]
            header = ["structure", "volumes", "patients", *columns]
            parts += [f"### {said[0].upper()}{said[1:]}{shown}", table(header, rows)]
    return parts


def _row(structure: str, way: str, figures: Mapping[str, Average]) -> list[str]:
    dice = figures[f"volume Dice{way}"]
    cells = [_cell(figures.get(f"{name}{way}"), name) for name in COLUMNS]
    return [structure, str(dice.num_pairs), str(dice.num_patients), *cells]


def _cell(figure: Average | None, measure: str) -> str:
    if figure is None:
        return "-"
    form = COLUMNS[measure][2]
    if figure.low is None or figure.high is None:
        return format(figure.value, form)
    return f"{figure.value:{form}} ({figure.low:{form}} to {figure.high:{form}})"

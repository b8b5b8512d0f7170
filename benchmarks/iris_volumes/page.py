"""Figures of volumes as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.iris_volumes.results import by_set
from benchmarks.iris_volumes.scores import Dices, interval, paired_difference
from medprism.evaluation.page import table
from medprism.metrics.bootstrap import Interval


def between(bounds: Interval, *, signed: bool = False) -> str:
    """Return a mean with its bounds.

    >>> between(Interval(0.5, 0.25, 0.75)), between(Interval(0.5, None, None), signed=True)
    ('0.500 (0.250 to 0.750)', '+0.500')
    """
    sign = "+" if signed else ""
    mean = f"{bounds.mean:{sign}.3f}"
    if bounds.low is None or bounds.high is None:
        return mean
    return f"{mean} ({bounds.low:{sign}.3f} to {bounds.high:{sign}.3f})"


def class_table(
    columns: Mapping[str, Dices], patients: Mapping[str, str], against: str | None = None
) -> str:
    """Return Dice of every class by row, the mean, its interval, and what is gained on a column.

    Intervals (95 %) resample patients; the gain on the column `against` is paired by case.
    """
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    rows = []
    for name in names:
        cells = [_mean(column.get(name)) for column in columns.values()]
        rows.append([name, *cells])
    overall = {what: interval(column, patients) for what, column in columns.items()}
    rows.append(["mean", *(f"{one.mean:.3f}" for one in overall.values())])
    rows.append(["95 % interval", *(_bounds(one) for one in overall.values())])
    if against is not None and against in columns and len(columns) > 1:
        gains = []
        for what, column in columns.items():
            gain = paired_difference(column, columns[against], patients)
            is_itself = what == against or gain is None
            gains.append("-" if is_itself or gain is None else between(gain, signed=True))
        rows.append([f"less {against}", *gains])
    return table(["class", *columns], rows)


def _mean(values: Mapping[str, float] | None) -> str:
    return f"{np.mean(list(values.values())):.3f}" if values else "nan"


def _bounds(bounds: Interval) -> str:
    if bounds.low is None or bounds.high is None:
        return "-"
    return f"{bounds.low:.3f} to {bounds.high:.3f}"


def tables_by_set(
    rows: Mapping[str, Any],
    patients: Mapping[str, Mapping[str, str]],
    against: str | None = None,
    level: str = "##",
) -> list[str]:
    """Return a heading and a table a set; rows that hold no Dice of cases are left out."""
    lines: list[str] = []
    for name, columns in by_set(rows).items():
        dices = {what: row["cases"] for what, row in columns.items() if _is_dice(row.get("cases"))}
        if dices:
            table_of_set = class_table(dices, patients[name], against)
            lines += [f"{level} {name}", "", table_of_set, ""]
    return lines


def share_tables(
    rows: Mapping[str, Any], patients: Mapping[str, Mapping[str, str]], level: str = "##"
) -> list[str]:
    """Return a heading and a table for every share of a pool that was measured."""
    lines: list[str] = []
    for name, columns in by_set(rows).items():
        for what, row in columns.items():
            if what.startswith("share "):
                heading = f"{level} {name}, {what}"
                lines += [heading, "", class_table(row["cases"], patients[name]), ""]
    return lines


def _is_dice(cases: object) -> bool:
    """Say whether these are the cases of one strategy: a class, a case, a number."""
    if not isinstance(cases, dict):
        return False
    return all(isinstance(value, float) for by_case in cases.values() for value in by_case.values())


def page(rows: Mapping[str, Any], patients: Mapping[str, Mapping[str, str]]) -> str:
    """Return the strategies and rivals of one checkpoint: one table a set, classes by row."""
    lines = ["# Iris on volumes", "", *tables_by_set(rows, patients, "one-shot")]
    return "\n".join([*lines, *share_tables(rows, patients)])

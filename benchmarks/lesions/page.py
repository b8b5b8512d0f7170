"""The page of docs/results/lesions.md, made of figures alone: nothing in it is typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.lesions import words
from benchmarks.lesions.claims import judge
from benchmarks.lesions.figures import CHECKPOINT, WRONG_LIMIT, verdict
from benchmarks.lesions.methods import ABLATIONS, METHODS, REFERENCE, RIVALS
from benchmarks.lesions.prototypes import WAYS
from medprism.evaluation.page import table

Runs = Mapping[str, Any]
_MEASURES = ("Dice", "mIoU", "IoU")


def render(summary: Mapping[str, Any]) -> str:
    """Return the page."""
    runs: Runs = summary.get("runs", {})
    apart: Sequence[Mapping[str, Any]] = summary.get("comparisons", [])
    rivals, ablations = (_groups(runs, apart, in_minutes=flag) for flag in (True, False))
    parts = [
        words.HEAD,
        *_section(words.CLAIMS, None, _claims(summary)),
        *_section(words.TASKS, words.TASKS_COMMAND, _tasks(summary.get("tasks", []))),
        *_section(words.CHECKPOINT, words.CHECKPOINT_COMMAND, _checkpoint(runs)),
        *_section(_naming(words.RIVALS, RIVALS), words.RIVALS_COMMAND, rivals),
        *_section(_naming(words.ABLATIONS, ABLATIONS), words.ABLATIONS_COMMAND, ablations),
        *_section(words.EXTERNAL, None, _external(runs)),
        *_section(words.WRONG.format(limit=WRONG_LIMIT), None, _wrong(runs)),
        *_section(
            words.GRADIENTS, words.GRADIENTS_COMMAND, _gradients(summary.get("gradients", {}))
        ),
        *_section(words.COST, words.COST_COMMAND, _cost(summary.get("cost", {}))),
        *_section(
            words.PROTOTYPES, words.PROTOTYPES_COMMAND, _prototypes(summary.get("prototypes", {}))
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _section(text: str, command: str | None, found: list[str]) -> list[str]:
    shown = [] if command is None else [f"```text\n{command}\n```"]
    return [text, *shown, *(found or [words.NOT_YET])]


def _naming(text: str, methods: Sequence[str]) -> str:
    return f"{text} METHOD is each of {', '.join(f'`{name}`' for name in methods)}."


def _claims(summary: Mapping[str, Any]) -> list[str]:
    judged = judge(summary)
    rows = [[one.words, one.where, one.found, one.judgement] for one in judged]
    return [table(["claim", "run", "found", "judgement"], rows)] if rows else []


def _tasks(rows: Sequence[Sequence[str]]) -> list[str]:
    return [table(rows[0], rows[1:])] if rows else []


def _checkpoint(runs: Runs) -> list[str]:
    run = runs.get(CHECKPOINT)
    if run is None or not run["test"]:
        return []
    said = (
        f"{run['steps']:,} steps in {run['minutes']:.0f} minutes; {run['parameters']:,} parameters."
    )
    rows = [[name, *_cells(one)] for name, one in run["test"]["tasks"].items()]
    if run["test"]["lesions"]:
        rows.append(["**mean over lesions**", *_cells(run["test"]["lesions"])])
    return [said, table(["task", "images", *_MEASURES], rows)]


def _groups(runs: Runs, apart: Sequence[Mapping[str, Any]], *, in_minutes: bool) -> list[str]:
    """Return the tables of every length, in minutes or in steps, that methods were trained for."""
    lengths = dict.fromkeys(
        name.partition("@")[2]
        for name, run in runs.items()
        if "@" in name and (run["minutes asked"] is not None) == in_minutes
    )
    parts: list[str] = []
    for length in lengths:
        named = {method: runs.get(f"{method}@{length}") for method in METHODS}
        members = {method: run for method, run in named.items() if run and run["test"]}
        if members:
            own = {
                one["second"]: one
                for one in apart
                if (one["length"], one["first"]) == (length, REFERENCE)
            }
            parts += [f"### {length}", *_group(members, own)]
    return parts


def _group(members: Runs, apart: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            METHODS[method].title,
            f"{run['steps']:,}",
            f"{run['minutes']:.0f}",
            f"{run['parameters']:,}",
            *_cells(run["test"]["lesions"]),
            _said(apart[method]["dice"]) if method in apart else "-",
        ]
        for method, run in members.items()
    ]
    header = ["method", "steps", "minutes", "parameters", "images", *_MEASURES]
    tasks = dict.fromkeys(task for run in members.values() for task in run["test"]["tasks"])
    by_task = [
        [task, *(_plain(run["test"]["tasks"].get(task)) for run in members.values())]
        for task in tasks
    ]
    parts = [
        table([*header, "Dice of TP-Seg minus it"], rows),
        "Dice of every task:",
        table(["task", *members], by_task),
    ]
    if REFERENCE not in members:
        parts.append(f"`{REFERENCE}` has no run of this length: nothing is compared with it yet.")
    return parts


def _external(runs: Runs) -> list[str]:
    known = {name: run["external"] for name, run in runs.items() if run["external"]}
    sets = dict.fromkeys(key for external in known.values() for key in external)
    rows = [
        [
            key,
            str(max(one[key]["images"] for one in known.values() if key in one)),
            *(_interval(one[key]["dice"]) if key in one else "-" for one in known.values()),
        ]
        for key in sets
    ]
    return [table(["set: task, Dice", "images", *known], rows)] if rows else []


def _wrong(runs: Runs) -> list[str]:
    rows = [
        [
            f"{name}: asked for {one['asked']}, beside {one['task']}",
            str(one["images"]),
            _interval(one["right"]),
            _interval(one["wrong"]),
            "yes" if one["holds"] else "no",
        ]
        for name, run in runs.items()
        for one in run["wrong"]
    ]
    if not rows:
        return []
    header = ["run", "images", "beside its own truth", "beside the other's", "under the limit"]
    failed = sum(row[-1] == "no" for row in rows)
    return [table(header, rows), f"**{failed} of {len(rows)} fail.**"]


def _gradients(found: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            f"{name}: {part}",
            str(one["pairs"]),
            f"{one['across']:.3f}",
            f"{one['lowest']:.3f}",
            f"{one['against']:.0%}",
            f"{one['within']:.3f}",
        ]
        for name, parts in found.items()
        for part, one in parts.items()
    ]
    header = ["run: weights", "pairs", "mean", "lowest", "against", "within"]
    return [table(header, rows)] if rows else []


def _cost(found: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            METHODS[name].title,
            f"{one['parameters']:,}",
            f"{one['further_task']:,}",
            f"{one['median_ms']:.1f}",
            f"{one['p95_ms']:.1f}",
            str(one["passes"]),
            f"{one['passes'] * one['median_ms']:.0f}",
            str(one["threads"]),
        ]
        for name, one in found.items()
    ]
    header = ["method", "parameters", "a further task", "ms, one task", "p95", "passes for all"]
    return [table([*header, "ms, all tasks", "threads"], rows)] if rows else []


def _prototypes(found: Mapping[str, Any]) -> list[str]:
    rows = []
    for way in [way for way in WAYS if found.get(way, {}).get("lesions")]:
        said = "-" if way == WAYS[0] else _said(found[way]["minus first"]["dice"])
        rows.append([way, *_cells(found[way]["lesions"]), said])
    header = ["asked by", "images", *_MEASURES, f"Dice minus {WAYS[0]} alone"]
    return [table(header, rows)] if rows else []


def _cells(one: Mapping[str, Any] | None) -> list[str]:
    if one is None:
        return ["-"] * (1 + len(_MEASURES))
    return [str(one["images"]), *(_interval(one[name]) for name in ("dice", "miou", "iou"))]


def _plain(one: Mapping[str, Any] | None) -> str:
    return "-" if one is None else f"{one['dice'][0]:.3f}"


def _interval(value: Sequence[float | None]) -> str:
    mean, low, high = value
    return f"{mean:.3f}" if low is None or high is None else f"{mean:.3f} ({low:.2f}-{high:.2f})"


def _said(value: Sequence[float | None]) -> str:
    mean, low, high = value
    if low is None or high is None:
        return f"{mean:+.3f}"
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f}): {verdict(value)}"

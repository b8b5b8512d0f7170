"""The Markdown page of a report: every set in a row of its own, the bad ones too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from medprism.evaluation.figures import Figures
from medprism.evaluation.measures import HEADLINE as HEADLINE_MEASURES
from medprism.evaluation.measures import MEASURES
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.shots import SHOTS
from medprism.evaluation.summary import (
    HEADLINE,
    HEADLINE_IMAGES,
    RULES,
    SMALL,
    UNKNOWN,
    Average,
    SetSummary,
)

_SET_MEASURES: Final = (
    "semantic",
    "one-shot",
    "clicks@1",
    "clicks@3",
    "clicks@5",
    "clicks@10",
    "NoC@90",
    "NoC@95",
    "failed@90",
    "semantic+1",
    "semantic+3",
    "one-shot+1",
    "one-shot+3",
)
_WHOLE: Final = ("volume Dice", "volume HD95", "volume NSD")
_MORE: Final = {
    "One to nine references": (*(f"{k}-shot" for k in SHOTS), "references in 9-shot"),
    "Slices of one other volume": (
        *(f"{k}-shot at positions" for k in SHOTS),
        "references in 9-shot at positions",
    ),
    "Ten single references": tuple(f"reference {of}" for of in ("mean", "std", "min", "max")),
    "Up to 20 clicks": ("NoC20@90", "NoC20@95", "failed20@90", "failed20@95"),
    "Whole volumes in three dimensions": (*_WHOLE, *(f"{name} by reference" for name in _WHOLE)),
}
_BLOCKS: Final = {
    HEADLINE: f"Sets with known patients and at least {HEADLINE_IMAGES} images",
    SMALL: f"Sets with fewer than {HEADLINE_IMAGES} images (not in the headline)",
    UNKNOWN: "Sets with unknown patients (split by blocks of images; not in the headline)",
}
_INTERVALS: Final = HEADLINE_MEASURES


def render(report: Figures) -> str:
    """Return the page."""
    parts = ["# Evaluation", *_how(report), *_headline(report)]
    for method in report.plans:
        parts += _sets(method, [one for one in report.sets if one.method == method and one.figures])
    parts += _comparisons(report)
    parts += _kinds(report)
    for method in report.plans:
        parts += _classes(method, [one for one in report.sets if one.method == method])
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is text, the others are numbers.

    >>> print(table(["set", "n"], [["a", "3"]]))
    | set | n |
    |---|--:|
    | a | 3 |
    """
    lines = [
        "| " + " | ".join(header) + " |",
        "|---|" + "--:|" * (len(header) - 1),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines)


def _how(report: Figures) -> list[str]:
    lines = [
        "Dice is 2-D: one slice, one class that is on it. Clicks are those of a simulated user: "
        "the largest error of the mask before, well inside it; at most as many as `clicks` says. "
        f"One-shot: {FixedReferences.rule}. Intervals: {RULES['interval']}.",
    ]
    for method, plan in report.plans.items():
        said = ", ".join(
            f"{name} {value[:12] if name == 'weights' and isinstance(value, str) else value}"
            for name, value in plan.items()
            if name not in ("method", "protocols")
        )
        times = ", ".join(
            f"{name} {value:.0f}" for name, value in report.milliseconds[method].items()
        )
        lines.append(f"**{method}**: {said}. Median milliseconds a mask: {times}.")
    if report.curves:
        lines.append("![Dice over clicks](convergence.png)")
    return lines


def _headline(report: Figures) -> list[str]:
    parts = ["## Headline"]
    for rule in ("classes", "sets", "all"):
        rows = []
        for line in report.headlines:
            if line.rule == rule and any(name in line.figures for name in HEADLINE_MEASURES):
                rows.append(
                    [
                        f"{line.role}, {line.method}",
                        *_counts(line.figures),
                        *(
                            _cell(line.figures.get(name), interval=True)
                            for name in HEADLINE_MEASURES
                        ),
                    ]
                )
        if rows:
            header = ["role, method", "sets", "classes", "pairs", *HEADLINE_MEASURES]
            parts += [f"Average: {RULES[rule]}.", table(header, rows)]
    return parts


def _counts(figures: Mapping[str, Average]) -> list[str]:
    """Return sets, classes and pairs of the figure that covers most."""
    largest = max(figures.values(), key=lambda figure: figure.num_pairs)
    return [str(largest.num_sets), str(largest.num_classes), str(largest.num_pairs)]


def _sets(method: str, sets: Sequence[SetSummary]) -> list[str]:
    used = [name for name in _SET_MEASURES if any(name in one.figures for one in sets)]
    parts = [
        f"## {method}: every set",
        f"Average of a row: {RULES['set']}. NoC and failures: the same average. "
        "n: images examined / in the split; patients: `=` where every image counts as its own.",
    ]
    for block, title in _BLOCKS.items():
        members = [one for one in sets if one.block == block]
        if members:
            header = ["set", "role", "n", "patients", "pairs", *used]
            rows = [
                [*_identity(one), *(_cell(one.figures.get(n)) for n in used)] for one in members
            ]
            parts += [f"### {title}", table(header, rows)]
    return parts + _more(sets) + _false_alarms(sets)


def _more(sets: Sequence[SetSummary]) -> list[str]:
    """Return a table for each group of measures that any set has."""
    parts = []
    for title, names in _MORE.items():
        used = [name for name in names if any(name in one.figures for one in sets)]
        if used:
            rows = [
                [*_identity(one), *(_cell(one.figures.get(name)) for name in used)]
                for one in sets
                if any(name in one.figures for name in used)
            ]
            meanings = "; ".join(f"{name}: {MEASURES[name].meaning}" for name in used)
            header = ["set", "role", "n", "patients", "pairs", *used]
            parts += [f"### {title}", f"{meanings}.", table(header, rows)]
    return parts


def _identity(one: SetSummary) -> list[str]:
    facts = one.facts
    is_own = "=" if facts.num_patients == facts.num_images else ""
    pairs = max((figure.num_pairs for figure in one.figures.values()), default=0)
    return [
        facts.dataset,
        facts.role,
        f"{facts.num_examined} / {facts.num_images}",
        f"{is_own}{facts.num_patients}" if one.block != UNKNOWN else "?",
        str(pairs),
    ]


def _false_alarms(sets: Sequence[SetSummary]) -> list[str]:
    name = "found though absent"
    rows = []
    for one in sets:
        alarm = one.figures.get(name)
        if alarm is None and one.volume_dice is None:
            continue
        rows.append(
            [
                one.facts.dataset,
                "0" if alarm is None else str(alarm.num_pairs),
                _cell(alarm, interval=True),
                _number(one.presence_auc),
                str(one.num_volumes),
                _number(one.volume_dice),
            ]
        )
    if not rows:
        return []
    header = ["set", "absent pairs", name, "presence AUC", "volumes", "Dice per volume"]
    return [
        "### Slices without the class, and whole volumes",
        f"{name}: {MEASURES[name].meaning}; only classes that the set labels exhaustively. "
        "Presence AUC: present against absent slices by the model's score, mean over classes. "
        f"Dice per volume: {RULES['volume']}.",
        table(header, rows),
    ]


def _comparisons(report: Figures) -> list[str]:
    parts = []
    for measure in dict.fromkeys(one.measure for one in report.comparisons):
        chosen = [one for one in report.comparisons if one.measure == measure]
        methods = sorted({name for one in chosen for name in one.figures})
        rows = [
            [
                one.facts.dataset,
                one.facts.role,
                str(one.num_pairs),
                *(_cell(one.figures.get(name), interval=True) for name in methods),
            ]
            for one in chosen
        ]
        parts += [
            f"## Side by side: {measure}",
            f"{MEASURES[measure].meaning}, on the (slice, class) pairs that all methods of a row "
            f"answered. Average: {RULES['set']}.",
            table(["set", "role", "pairs", *methods], rows),
        ]
    return parts


def _kinds(report: Figures) -> list[str]:
    rows = [
        [
            f"{line.kind}, {line.role}, {line.method}",
            *_counts(line.figures),
            *(_cell(line.figures.get(name)) for name in HEADLINE_MEASURES),
        ]
        for line in sorted(report.kinds, key=lambda line: (line.method, line.kind))
        if any(name in line.figures for name in HEADLINE_MEASURES)
    ]
    header = ["kind of image, role, method", "sets", "classes", "pairs", *HEADLINE_MEASURES]
    return ["## By kind of image", f"Average: {RULES['all']}, of one kind.", table(header, rows)]


def _classes(method: str, sets: Sequence[SetSummary]) -> list[str]:
    rows = [
        [
            f"{one.facts.dataset}: {concept}",
            str(max((figure.num_pairs for figure in figures.values()), default=0)),
            *(_cell(figures.get(name), interval=True) for name in _INTERVALS),
        ]
        for one in sets
        for concept, figures in one.by_class.items()
        if any(name in figures for name in _INTERVALS)
    ]
    return [
        f"## {method}: every class of every set",
        "Mean over slices that show the class.",
        table(["set: class", "pairs", *_INTERVALS], rows),
    ]


def _cell(figure: Average | None, *, interval: bool = False) -> str:
    if figure is None:
        return "-"
    if interval and figure.low is not None and figure.high is not None:
        return f"{figure.value:.3f} ({figure.low:.2f}-{figure.high:.2f})"
    return f"{figure.value:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

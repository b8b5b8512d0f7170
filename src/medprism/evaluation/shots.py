"""In-context protocols: how many references are shown, from where in a volume, and which one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from medprism.evaluation.cases import Target
from medprism.evaluation.protocols import EXAMPLE, Answer, Exam, Question, Stopwatch, shown
from medprism.evaluation.results import ResultRow
from medprism.metrics.dice import dice

K_SHOT: Final = "k-shot"
K_SHOT_POSITIONS: Final = "k-shot-positions"
REFERENCE_DRAWS: Final = "reference-draws"

POSITIONS: Final[Mapping[int, tuple[float, ...]]] = {
    1: (0.5,),
    3: (0.2, 0.5, 0.8),
    5: (0.2, 0.4, 0.5, 0.6, 0.8),
    9: (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
}
"""Shots -> where the references lie in the structure's extent [KPrism, Table 10]."""

SHOTS: Final = tuple(POSITIONS)
DRAWS: Final = 10
"""How many single references are tried [KPrism, Table 9]."""

Shots = Sequence[tuple[int, ...]]


def k_shot(exam: Exam, number: int, targets: Sequence[Target]) -> list[ResultRow]:
    """Show 1, 3, 5 and 9 references; a row's values are Dice with each, in this order.

    More extend fewer, and the first is that of the protocol "one-shot". Where there are not as
    many all there are count; the row's `shots` says how many.
    """

    def choose(question: Question) -> Shots:
        order = exam.references.several(number, question.target, max(SHOTS))
        return [order[:count] for count in SHOTS]

    return _rows(exam, number, targets, (K_SHOT, choose))


def k_shot_positions(exam: Exam, number: int, targets: Sequence[Target]) -> list[ResultRow]:
    """Show slices of one other volume at the positions of `POSITIONS`, as in `k_shot`."""

    def choose(question: Question) -> Shots:
        placed = exam.references.at_positions(number, question.target, POSITIONS)
        return [placed.get(count, ()) for count in SHOTS]

    return _rows(exam, number, targets, (K_SHOT_POSITIONS, choose))


def reference_draws(exam: Exam, number: int, targets: Sequence[Target]) -> list[ResultRow]:
    """Show ten references one at a time; a row's values are Dice with each alone.

    They are the first ten of the seeded order, of different patients as far as there are ten, and
    so the same for all queries but those of a reference's own patient.
    """

    def choose(question: Question) -> Shots:
        return [(one,) for one in exam.references.several(number, question.target, DRAWS)]

    return _rows(exam, number, targets, (REFERENCE_DRAWS, choose))


def _rows(
    exam: Exam,
    number: int,
    targets: Sequence[Target],
    how: tuple[str, Callable[[Question], Shots]],
) -> list[ResultRow]:
    """Answer by one choice of references after the other; no row where there is none."""
    protocol, choose = how
    rows = []
    for question in shown(exam, number, targets):
        choices = choose(question)
        if not choices or not all(choices):
            continue
        watch, values = Stopwatch(), []
        for chosen in choices:
            exam.session.set_references(
                [exam.reader.image(other) for other in chosen],
                [exam.reader.truth(other, question.target) for other in chosen],
                label=EXAMPLE,
            )
            with watch:
                found = exam.session.predict(labels=[EXAMPLE])[EXAMPLE]
            values.append(dice(found.mask, question.truth))
        shots = tuple(len(chosen) for chosen in choices)
        answer = Answer(found.mask, tuple(values), found.presence, watch.seconds, shots)
        rows.append(exam.row(question, answer, protocol))
    return rows

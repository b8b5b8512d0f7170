"""The protocols: each drives a session through one slice, as a user would, and scores it.

Dice is always that of one slice and one concept on the image's grid. Clicks come from the
simulated user of the published evaluations [KPrism, release].
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from medprism.core.concepts import ConceptTable
from medprism.core.errors import ConfigError, LabelError
from medprism.core.image import Image
from medprism.core.prompt import Click, Interactions, Mask2d
from medprism.data.store import SliceStore
from medprism.evaluation.answerer import Answerer, Found
from medprism.evaluation.cases import CaseReader, Target
from medprism.evaluation.facts import role_of
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.results import ResultRow, volume_of
from medprism.metrics.dice import dice
from medprism.metrics.overlap import count_overlap
from medprism.prompts.simulate import simulate_clicks

SEMANTIC: Final = "semantic"
ABSENT: Final = "absent"
ONE_SHOT: Final = "one-shot"
INTERACTIVE: Final = "interactive"
REFINE_SEMANTIC: Final = "refine-semantic"
REFINE_IN_CONTEXT: Final = "refine-in-context"

# What a structure is called in a session, where no class says it.
EXAMPLE: Final = "shown by example"
CLICKED: Final = "clicked"


@dataclass(frozen=True, kw_only=True)
class ClickLimits:
    """How many clicks the simulated user has: from nothing, and on a first mask.

    It stops early only where nothing is wrong any more.
    """

    interactive: int = 10
    refine: int = 3

    def __post_init__(self) -> None:
        if min(self.interactive, self.refine) < 1:
            raise ConfigError(
                f"click limits {self.interactive} and {self.refine} must be at least 1"
            )


@dataclass(frozen=True, eq=False)
class Question:
    """One concept on one slice, with the truth."""

    number: int
    target: Target
    image: Image
    truth: Mask2d


@dataclass(frozen=True, eq=False)
class Answer:
    """What came out: last mask, Dice values, presence score, time, references a value, clicks."""

    mask: Mask2d
    values: tuple[float, ...]
    presence: float | None
    seconds: float
    shots: tuple[int, ...] = ()
    clicks: tuple[Click, ...] = ()


def make_row(
    store: SliceStore, question: Question, answer: Answer, *, how: tuple[str, str]
) -> ResultRow:
    """Join question and answer; `how` is (method, protocol)."""
    row = store.rows[question.number]
    return ResultRow(
        dataset=row.dataset,
        role=role_of(row, question.target.concept),
        split=row.split,
        case=row.case_id,
        patient=row.patient,
        volume=volume_of(row),
        concept=question.target.concept,
        method=how[0],
        protocol=how[1],
        values=answer.values,
        overlap=count_overlap(answer.mask, question.truth),
        presence=answer.presence,
        milliseconds=1000 * answer.seconds,
        shots=answer.shots,
        pixels=question.truth.size,
    )


class Stopwatch:
    """Adds up the time spent inside `with` blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def __enter__(self) -> Stopwatch:
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started


@dataclass(eq=False)
class Exam:
    """What the protocols share: who answers, where cases come from, references, limits."""

    session: Answerer
    store: SliceStore
    reader: CaseReader
    references: FixedReferences
    method: str
    limits: ClickLimits = field(default_factory=ClickLimits)

    def open(self, number: int, target: Target) -> Question:
        """Put a slice on the table, without anything that was said about it before."""
        image = self.reader.image(number)
        self.session.set_image(image)
        return Question(number, target, image, self.reader.truth(number, target))

    def row(self, question: Question, answer: Answer, protocol: str) -> ResultRow:
        """Return the row of an answer."""
        return make_row(self.store, question, answer, how=(self.method, protocol))


Protocol = Callable[[Exam, int, Sequence[Target]], list[ResultRow]]


def semantic(exam: Exam, number: int, targets: Sequence[Target]) -> list[ResultRow]:
    """Ask for all classes the model knows at once.

    Classes on the slice give rows of the protocol "semantic". Classes that the set labels
    exhaustively and the slice does not show give rows of the protocol "absent", whose value is
    the share of the slice that was wrongly found.
    """
    row = exam.store.rows[number]
    asked = {
        name: exam.open(number, target)
        for target in targets
        if (name := class_name(exam.session.model.concepts, target.concept)) is not None
        and (target.is_shown(row) or target.is_exhaustive)
    }
    if not asked:
        return []
    with Stopwatch() as watch:
        found = exam.session.predict(classes=list(asked))
    return [
        _semantic_row(exam, question, found[name], watch.seconds / len(asked))
        for name, question in asked.items()
    ]


def one_shot(exam: Exam, number: int, targets: Sequence[Target]) -> list[ResultRow]:
    """Show the fixed reference of each concept, then predict."""
    rows = []
    for question in shown(exam, number, targets):
        if not _show_reference(exam, question):
            continue
        with Stopwatch() as watch:
            prediction = exam.session.predict(labels=[EXAMPLE])[EXAMPLE]
        value = dice(prediction.mask, question.truth)
        answer = Answer(prediction.mask, (value,), prediction.presence, watch.seconds)
        rows.append(exam.row(question, answer, ONE_SHOT))
    return rows


def interactive(exam: Exam, number: int, targets: Sequence[Target]) -> list[ResultRow]:
    """Click from nothing, without any class or reference."""
    return [
        exam.row(question, _click(exam, question, CLICKED), INTERACTIVE)
        for question in shown(exam, number, targets)
    ]


def refine_semantic(exam: Exam, number: int, targets: Sequence[Target]) -> list[ResultRow]:
    """Predict by class, then click on what is wrong."""
    rows = []
    for question in shown(exam, number, targets):
        name = class_name(exam.session.model.concepts, question.target.concept)
        if name is None:
            continue
        with Stopwatch() as watch:
            start = exam.session.predict(classes=[name])[name].mask
        answer = _click(exam, question, name, start, watch)
        rows.append(exam.row(question, answer, REFINE_SEMANTIC))
    return rows


def refine_in_context(exam: Exam, number: int, targets: Sequence[Target]) -> list[ResultRow]:
    """Predict by the fixed reference, then click on what is wrong."""
    rows = []
    for question in shown(exam, number, targets):
        if not _show_reference(exam, question):
            continue
        with Stopwatch() as watch:
            start = exam.session.predict(labels=[EXAMPLE])[EXAMPLE].mask
        answer = _click(exam, question, EXAMPLE, start, watch)
        rows.append(exam.row(question, answer, REFINE_IN_CONTEXT))
    return rows


# What an evaluation runs unless it names others; `catalog.CATALOG` has all there are.
PROTOCOLS: Final[Mapping[str, Protocol]] = {
    SEMANTIC: semantic,
    ONE_SHOT: one_shot,
    INTERACTIVE: interactive,
    REFINE_SEMANTIC: refine_semantic,
    REFINE_IN_CONTEXT: refine_in_context,
}


def class_name(concepts: ConceptTable, concept: str) -> str | None:
    """Return a class table's own name of a concept, by any of its names; None if it has none."""
    try:
        return concepts[concepts.row(concept)].name
    except LabelError:
        return None


def shown(exam: Exam, number: int, targets: Sequence[Target]) -> Iterator[Question]:
    """Open the slice anew for each concept it shows, so that nothing is left of the one before."""
    for target in targets:
        if target.is_shown(exam.store.rows[number]):
            yield exam.open(number, target)


def _semantic_row(exam: Exam, question: Question, found: Found, seconds: float) -> ResultRow:
    if question.truth.any():
        value, protocol = dice(found.mask, question.truth), SEMANTIC
    else:
        value, protocol = float(found.mask.mean()), ABSENT
    return exam.row(question, Answer(found.mask, (value,), found.presence, seconds), protocol)


def _show_reference(exam: Exam, question: Question) -> bool:
    """Hand the fixed reference over; False where the set has no other slice of the concept."""
    other = exam.references.choose(question.number, question.target)
    if other is None:
        return False
    exam.session.set_references(
        [exam.reader.image(other)], [exam.reader.truth(other, question.target)], label=EXAMPLE
    )
    return True


def _click(
    exam: Exam,
    question: Question,
    label: str,
    start: Mask2d | None = None,
    watch: Stopwatch | None = None,
) -> Answer:
    session, watch = exam.session, watch or Stopwatch()
    masks = [] if start is None else [start]

    def predict(said: Interactions) -> Mask2d:
        last = said.clicks[-1]
        with watch:
            mask = session.add_point_interaction(
                (last.row, last.col), include_interaction=last.is_positive, label=label
            )
        masks.append(mask)
        return mask

    limit = exam.limits.interactive if start is None else exam.limits.refine
    rounds = simulate_clicks(predict, question.truth, dice, limit=limit, start=start)
    values = rounds.scores if start is None else (rounds.score_before, *rounds.scores)
    presence = session.presence(label)
    return Answer(masks[-1], values, presence, watch.seconds, clicks=rounds.clicks)

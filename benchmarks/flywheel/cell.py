"""A cell: a simulated user annotates all images of a project over HTTP, one after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from benchmarks.annotator import Annotator, Json
from benchmarks.flywheel.plan import DRAWN, EXACT, FLYWHEEL, Plan, UserSettings
from benchmarks.flywheel.structure import Sample
from benchmarks.server_process import running_server
from medprism.core.durable import read_json, write_json
from medprism.core.errors import ConfigError, StoreError
from medprism.core.progress import Progress
from medprism.core.prompt import Click, Interactions, Mask2d
from medprism.core.randomness import counter_rng
from medprism.metrics.dice import dice
from medprism.prompts.clicks import draw_unsteady_click, next_click
from medprism.prompts.simulate import ClickedRounds, Predict, simulate_clicks

FORMAT: Final = "medprism-flywheel-cell"
VERSION: Final = 1
# No class of any model, so that only references can say what it is.
LABEL: Final = "the structure"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One image: Dice before any click and after each, and seconds of waiting for the server.

    `references` counts the references that the project had when the image was opened. `opening`
    lasts from asking for the image to its pre-segmented mask, `clicking` is the sum over clicks.
    """

    case: str
    patient: str
    references: int
    before: float
    scores: tuple[float, ...]
    opening: float
    clicking: float
    accepting: float

    def is_reached(self, target: float) -> bool:
        """Whether the target was reached in the end."""
        return (self.scores[-1] if self.scores else self.before) >= target

    def clicks(self, user: UserSettings) -> int:
        """Return how many clicks it took; the limit where the target was not reached."""
        return len(self.scores) if self.is_reached(user.target) else user.limit

    def dice_after(self, clicks: int) -> float:
        """Return Dice after so many clicks; a user who stopped earlier keeps what was reached."""
        return (self.before, *self.scores)[min(clicks, len(self.scores))]

    @property
    def seconds(self) -> float:
        """All waiting for this image."""
        return self.opening + self.clicking + self.accepting


@dataclass(frozen=True)
class Cell:
    """All turns of a plan, in the order in which the images came."""

    plan: Plan
    turns: tuple[Turn, ...]


def run_cell(
    plan: Plan, samples: Sequence[Sample], user: UserSettings, model: str, progress: Progress
) -> Cell:
    """Annotate the samples in this order, in a new project on a server of its own."""
    with TemporaryDirectory(prefix="medprism-flywheel-") as folder:
        project = Path(folder) / "project"
        project.mkdir()
        with running_server(project, model) as server, Annotator(server) as annotator:
            return annotate(annotator, plan, samples, user, progress)


def annotate(
    annotator: Annotator,
    plan: Plan,
    samples: Sequence[Sample],
    user: UserSettings,
    progress: Progress,
) -> Cell:
    """Annotate the samples in this order with an empty project."""
    # With it, seconds would depend on how long a simulated user pretends to think.
    annotator.change_settings(presegment_next=False, order="list")
    names = [f"{place:04}{one.file.suffix}" for place, one in enumerate(samples)]
    numbers = annotator.add_images(
        [(name, one.file) for name, one in zip(names, samples, strict=True)]
    )
    if numbers != sorted(numbers):
        raise ConfigError("the server lists the images in another order than they were sent in")
    turns: list[Turn] = []
    references = 0
    started = time.perf_counter()
    state: Json | None = annotator.open(numbers[0])
    for place, sample in enumerate(samples):
        if state is None or state["image"] != numbers[place]:
            raise ConfigError(f"the server goes on with another image than {names[place]}")
        turn, is_kept = _take_turn(annotator, state, plan, sample, user, references, started)
        turns.append(turn)
        progress.report(place + 1, len(samples), plan.name)
        started = time.perf_counter()
        if is_kept:
            references += plan.method == FLYWHEEL
            state = annotator.go_on(state)
        else:
            state = annotator.open(numbers[place + 1]) if place + 1 < len(samples) else None
    if state is not None:
        raise ConfigError("the server has more images than were sent")
    return Cell(plan, tuple(turns))


def _take_turn(
    annotator: Annotator,
    state: Json,
    plan: Plan,
    sample: Sample,
    user: UserSettings,
    references: int,
    started: float,
) -> tuple[Turn, bool]:
    """Annotate one image; also return whether its mask was accepted."""
    found = annotator.mask(state, LABEL)
    opening = time.perf_counter() - started
    start = np.zeros_like(sample.truth) if found is None else found
    clicking = 0.0
    shown = start

    def click(said: Interactions) -> Mask2d:
        nonlocal clicking, shown
        before = time.perf_counter()
        shown = annotator.click(state, LABEL, said.clicks[-1])
        clicking += time.perf_counter() - before
        return shown

    rounds = _rounds(click, plan, sample, user, start)
    before = time.perf_counter()
    is_reached = (rounds.scores or (rounds.score_before,))[-1] >= user.target
    is_kept = _finish(annotator, state, plan, sample, shown, is_reached=is_reached)
    turn = Turn(
        case=sample.case,
        patient=sample.patient,
        references=references,
        before=rounds.score_before,
        scores=rounds.scores,
        opening=opening,
        clicking=clicking,
        accepting=time.perf_counter() - before,
    )
    return turn, is_kept


def _rounds(
    click: Predict,
    plan: Plan,
    sample: Sample,
    user: UserSettings,
    start: Mask2d,
) -> ClickedRounds:
    rng = counter_rng(plan.order, sample.case, "unsteady")

    def unsteady(mask: Mask2d, truth: Mask2d) -> Click | None:
        return draw_unsteady_click(rng, mask, truth, user.spread)

    return simulate_clicks(
        click,
        sample.truth,
        dice,
        limit=user.limit,
        target=user.target,
        start=start,
        choose=next_click if plan.user == EXACT else unsteady,
    )


def _finish(
    annotator: Annotator,
    state: Json,
    plan: Plan,
    sample: Sample,
    shown: Mask2d,
    *,
    is_reached: bool,
) -> bool:
    """Accept what the plan says; an empty mask cannot be accepted, such an image is skipped."""
    kept = shown
    if not is_reached and plan.accepts == DRAWN:
        annotator.draw(state, LABEL, sample.truth)
        kept = sample.truth
    if not kept.any():
        annotator.skip(state, "nothing was found")
        return False
    annotator.accept(state, LABEL, as_reference=plan.method == FLYWHEEL)
    return True


def write_cell(path: Path, cell: Cell, signature: Json) -> None:
    """Write a cell durably; `signature` is everything that its figures depend on."""
    turns = [asdict(turn) for turn in cell.turns]
    write_json(path, FORMAT, VERSION, {"signature": signature, "turns": turns})


def read_cell(path: Path, plan: Plan, signature: Json) -> Cell | None:
    """Return a cell that was measured before, None if it was not.

    Raises:
        StoreError: it was measured with other weights, images or settings.
        FormatVersionError: the file is damaged or of a newer version.
    """
    if not path.exists():
        return None
    payload = read_json(path, FORMAT, VERSION)
    if payload["signature"] != signature:
        raise StoreError(
            f"{path} was measured with other weights, images or settings; choose another folder, "
            "or delete it"
        )
    turns = tuple(Turn(**{**one, "scores": tuple(one["scores"])}) for one in payload["turns"])
    return Cell(plan, turns)

"""Do other engines segment like the reference? Whole sessions of clicks on real images, compared.

The simulated user clicks on what the reference engine shows; every other engine is given the same
clicks, each round with its own former mask behind it, so that differences add up as they would for
a person who clicks on.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from medprism.core.concepts import ConceptTable
from medprism.core.errors import CancelledError, ConfigError, StoreError
from medprism.core.image import Image
from medprism.core.progress import Progress
from medprism.core.prompt import Click, Interactions, Mask2d
from medprism.core.randomness import counter_rng
from medprism.data.store import SliceStore
from medprism.engines.engine import REFERENCE_ENGINE
from medprism.engines.loaded import LoadedModel
from medprism.engines.verdict import Trial, Verdict
from medprism.evaluation.cases import StoreReader, Target, targets_of
from medprism.inference.session import Session
from medprism.metrics.dice import dice
from medprism.prompts.simulate import simulate_clicks

CLICKS: Final = 5
# A session keeps the encodings of one image and its close-ups, no more.
CACHE_BYTES: Final = 2**26
_LABEL: Final = "clicked"


@dataclass(frozen=True, eq=False)
class ParityCase:
    """One image of a set with the mask that the simulated user has in mind."""

    dataset: str
    image: Image
    truth: Mask2d


def draw_cases(
    store: SliceStore, concepts: ConceptTable, images: int, *, split: str = "test", seed: int = 0
) -> Iterable[ParityCase]:
    """Yield a seeded choice of so many slices of a store, sets taking turns.

    Each slice comes with one of the structures it shows. A store with fewer yields what it has.

    Raises:
        ConfigError: fewer than one image asked for.
        StoreError: no slice of this split shows anything.
    """
    if images < 1:
        raise ConfigError(f"a check of {images} images shows nothing; ask for at least 1")
    drawn = [_draw(store, name, concepts, split, seed) for name in store.infos]
    longest = max((len(one) for one in drawn), default=0)
    dealt = [queue[place] for place in range(longest) for queue in drawn if place < len(queue)]
    if not dealt:
        raise StoreError(f"no slice of split {split!r} in {store.path} shows a structure")
    return (_read(store, number, target) for number, target in dealt[:images])


def _draw(
    store: SliceStore, dataset: str, concepts: ConceptTable, split: str, seed: int
) -> list[tuple[int, Target]]:
    targets = targets_of(store, dataset, concepts)
    rng = counter_rng(seed, dataset, split, "parity")
    rows = [
        number
        for number, row in enumerate(store.rows)
        if row.dataset == dataset and row.split == split
    ]
    drawn = []
    for place in rng.permutation(len(rows)):
        shown = [target for target in targets if target.is_shown(store.rows[rows[int(place)]])]
        if shown:
            drawn.append((rows[int(place)], shown[int(rng.integers(len(shown)))]))
    return drawn


def _read(store: SliceStore, number: int, target: Target) -> ParityCase:
    reader = StoreReader(store)
    return ParityCase(
        store.rows[number].dataset, reader.image(number), reader.truth(number, target)
    )


@dataclass(eq=False)
class _Candidate:
    """One engine at work: its session and what was measured so far."""

    engine: str
    session: Session
    seconds: list[float] = field(default_factory=list)
    dice: dict[str, list[float]] = field(default_factory=dict)

    def click(self, image: Image, clicks: Sequence[Click]) -> list[Mask2d]:
        """Return the mask after every click on a new image."""
        started = time.perf_counter()
        self.session.set_image(image)
        masks = [self._say(one) for one in clicks]
        self.seconds.append(time.perf_counter() - started)
        return masks

    def follow(self, case: ParityCase) -> tuple[tuple[Click, ...], list[Mask2d]]:
        """Let the simulated user click; return its clicks and the mask after each."""
        masks: list[Mask2d] = []
        started = time.perf_counter()
        self.session.set_image(case.image)

        def answer(said: Interactions) -> Mask2d:
            masks.append(self._say(said.clicks[-1]))
            return masks[-1]

        rounds = simulate_clicks(answer, case.truth, dice, limit=CLICKS)
        self.seconds.append(time.perf_counter() - started)
        return rounds.clicks, masks

    def note(self, dataset: str, masks: Sequence[Mask2d], wanted: Sequence[Mask2d]) -> None:
        """Keep the mean Dice with the reference over the rounds of one session."""
        values = [_agreement(a, b) for a, b in zip(masks, wanted, strict=True)]
        self.dice.setdefault(dataset, []).append(statistics.fmean(values))

    def trial(self) -> Trial:
        """Return what was found; the first session, which compiles, is not timed."""
        timed = self.seconds[1:] or self.seconds
        by_set = {name: round(statistics.fmean(values), 6) for name, values in self.dice.items()}
        return Trial(self.engine, round(1000 * statistics.median(timed), 3), by_set)

    def _say(self, click: Click) -> Mask2d:
        return self.session.add_point_interaction(
            (click.row, click.col), include_interaction=click.is_positive, label=_LABEL
        )


def _agreement(one: Mask2d, other: Mask2d) -> float:
    """Dice of two masks; two empty ones agree."""
    return dice(one, other) if np.any(one) or np.any(other) else 1.0


def check_engines(
    load_engine: Callable[[str], LoadedModel],
    engines: Sequence[str],
    cases: Iterable[ParityCase],
    progress: Progress,
    *,
    total: int,
) -> Verdict:
    """Compare engines with the reference over a session of 5 clicks on every case.

    `load_engine` loads the model on an engine by its name; the reference is always among them.
    `total` is the number of cases, for the progress. Engines take turns on each case, so that a
    machine that is busy for a while slows all of them.

    Raises:
        CancelledError: the progress asked to stop.
    """
    reference = load_engine(REFERENCE_ENGINE)
    names = [name for name in engines if name != REFERENCE_ENGINE]
    candidates = [
        _Candidate(name, Session(model, cache_bytes=CACHE_BYTES))
        for name, model in [(REFERENCE_ENGINE, reference), *((n, load_engine(n)) for n in names)]
    ]
    images = 0
    for images, case in enumerate(cases, start=1):
        if progress.is_cancelled():
            raise CancelledError("the check of the engines was stopped; nothing was decided")
        clicks, wanted = candidates[0].follow(case)
        candidates[0].note(case.dataset, wanted, wanted)
        for candidate in candidates[1:]:
            candidate.note(case.dataset, candidate.click(case.image, clicks), wanted)
        progress.report(images, total, case.dataset)
    trials = tuple(candidate.trial() for candidate in candidates)
    return Verdict(reference.weights_hash, reference.threads, images, CLICKS, trials)

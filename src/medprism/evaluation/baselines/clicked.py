"""Methods that know nothing but image and clicks, in the same hands as our model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import UInt8

from medprism.core.image import Image
from medprism.core.preprocess import choose_rule, to_eight_bit_range
from medprism.core.prompt import Click, Interactions, Mask2d
from medprism.data.store import SliceStore
from medprism.evaluation.baselines.grabcut import grabcut
from medprism.evaluation.baselines.grow_from_seeds import grow_from_seeds
from medprism.evaluation.baselines.random_walker import random_walker
from medprism.evaluation.cases import CaseReader, Target
from medprism.evaluation.protocols import INTERACTIVE, Answer, Question, Stopwatch, make_row
from medprism.evaluation.results import ResultRow
from medprism.metrics.dice import dice
from medprism.prompts.simulate import simulate_clicks

ClickMethod: TypeAlias = Callable[[np.ndarray, Sequence[Click]], Mask2d]

CLICK_METHODS: Final[Mapping[str, ClickMethod]] = {
    "GrabCut": grabcut,
    "random walker": random_walker,
    "grow from seeds": grow_from_seeds,
}


class ClickedBaseline:
    """Runs one of the click methods through the interactive protocol."""

    protocols = (INTERACTIVE,)

    def __init__(
        self, name: str, store: SliceStore, reader: CaseReader, *, clicks: int = 5
    ) -> None:
        self.name = name
        self._segment = CLICK_METHODS[name]
        self._store = store
        self._reader = reader
        self._clicks = clicks

    def identity(self) -> dict[str, str | int]:
        """Return what decides the rows, beside store and plan."""
        return {"method": self.name, "clicks": self._clicks, "grid": self._reader.grid}

    def examine(self, number: int, targets: Sequence[Target]) -> list[ResultRow]:
        """Click on every concept that a slice shows."""
        image = self._reader.image(number)
        rows = []
        for target in targets:
            if target.is_shown(self._store.rows[number]):
                question = Question(number, target, image, self._reader.truth(number, target))
                answer = self.answer(question)
                rows.append(make_row(self._store, question, answer, how=(self.name, INTERACTIVE)))
        return rows

    def answer(self, question: Question) -> Answer:
        """Click on one structure until the clicks are used up or nothing is wrong."""
        pixels = eight_bit(question.image)
        watch = Stopwatch()
        masks: list[Mask2d] = []

        def predict(said: Interactions) -> Mask2d:
            with watch:
                masks.append(self._segment(pixels, said.clicks))
            return masks[-1]

        rounds = simulate_clicks(predict, question.truth, dice, limit=self._clicks)
        return Answer(masks[-1], rounds.scores, None, watch.seconds, clicks=rounds.clicks)


def eight_bit(image: Image) -> UInt8[np.ndarray, "height width channels"]:
    """Return a picture's pixels by the one intensity rule, as bytes."""
    bounds = choose_rule(image).bounds(image)
    return np.asarray(np.rint(to_eight_bit_range(image.voxels[0], bounds)), dtype=np.uint8)

"""A nano learns phantoms in all five kinds of request, and what it is asked with decides.

Every phantom holds three structures of like brightness, so that only the request tells which one
is meant.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float32
from torch import Tensor

from medprism.core.preprocess import Fit, standardise
from medprism.core.prompt import Interactions
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Clicks, Prompts, ReferenceFeatures, canvas_logits
from medprism.prompts.clicks import next_click
from medprism.prompts.rasterise import pad_queries, to_canvas
from medprism.training.config import StageConfig, TrainConfig
from medprism.training.loop import STATE_FILE, Schedule, train
from medprism.training.optim import make_optimizer
from medprism.training.state import average_of, load_state
from tests.phantoms import NAMES

from .phantom_sampler import PhantomSampler, phantom
from .runs import Notes, make_nano

SIZE = 64
CLICKS = 2
FIT = Fit((SIZE, SIZE), (SIZE, SIZE), (SIZE, SIZE))

pytestmark = pytest.mark.slow


def learning_config() -> TrainConfig:
    """Return a run that learns phantoms: class and references often, its own copy at first."""
    return TrainConfig(
        preset="kprism-nano",
        steps=650,
        stages=(StageConfig(size=SIZE, share=1.0, requests=8),),
        odds=(0.3, 0.55, 0.15),
        peak_rate=2e-3,
        ema=0.98,
        self_reference_until=0.3,
        bfloat16=False,
    )


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained nano (its averaged weights) and the CPU seconds that it took."""

    model: KPrism
    seconds: float


def learn(folder: Path, phantoms: int) -> Learned:
    torch.set_num_threads(1)
    started = time.process_time()
    model, config, notes = make_nano(), learning_config(), Notes()
    train(
        model,
        PhantomSampler(phantoms),
        config,
        folder,
        schedule=Schedule(save_every=config.steps),
        validate=None,
        on_best=None,
        log=notes,
        progress=notes,
    )
    seconds = time.process_time() - started
    average = average_of(model)
    load_state(folder / STATE_FILE, config, model, average, make_optimizer(model, config))
    model.load_state_dict(average)
    return Learned(model.eval().requires_grad_(False), seconds)


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """Return a nano that has seen eight phantoms."""
    return learn(tmp_path_factory.mktemp("eight"), 8)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """Return a nano that has seen 400 phantoms."""
    return learn(tmp_path_factory.mktemp("many"), 400)


@dataclass(frozen=True)
class Request:
    """Structure `concept` of phantom `row`, explained by phantom `reference` where asked so."""

    row: int
    concept: int
    reference: int

    @property
    def truth(self) -> np.ndarray:
        """The right answer."""
        return phantom(self.row, SIZE).masks[self.concept]


def requests_of(rows: range) -> list[Request]:
    """Ask for every structure of every phantom; the next phantom is the reference."""
    following = {row: rows[(i + 1) % len(rows)] for i, row in enumerate(rows)}
    return [Request(row, c, following[row]) for row in rows for c in range(len(NAMES))]


def canvas(row: int) -> Tensor:
    return torch.from_numpy(standardise(phantom(row, SIZE).image))


def references_of(model: KPrism, requests: list[Request]) -> ReferenceFeatures:
    masks = [phantom(r.reference, SIZE).masks[r.concept] for r in requests]
    return model.encode_references(
        torch.stack([canvas(r.reference) for r in requests])[:, None],
        torch.from_numpy(np.stack(masks).astype(np.float32))[:, None],
        torch.ones(len(requests), 1, dtype=torch.bool),
    )


def ask(
    model: KPrism,
    requests: list[Request],
    kind: str,
    said: list[Interactions] | None = None,
    previous: Float32[np.ndarray, "requests height width"] | None = None,
) -> np.ndarray:
    """Return the probability maps of requests by class, by reference or by clicks alone."""
    clicks, dense = None, None
    if said is not None:
        placed = [to_canvas(items, FIT) for items in said]
        before = np.zeros((len(said), SIZE, SIZE), np.float32) if previous is None else previous
        marks = np.stack([prompt.dense for prompt in placed])
        dense = torch.from_numpy(np.concatenate([marks, before[:, None]], 1))
        clicks = Clicks(*pad_queries(placed))
    concept = torch.tensor([r.concept for r in requests])
    prompts = Prompts(
        concept=concept if kind == "class" else None,
        references=references_of(model, requests) if kind == "reference" else None,
        clicks=clicks,
        dense=dense,
    )
    features = model.encode(torch.stack([canvas(r.row) for r in requests]))
    probability = canvas_logits(model.decode(features, prompts), (SIZE, SIZE)).sigmoid()
    return probability.numpy()


def click_on(
    said: list[Interactions], probability: np.ndarray, requests: list[Request]
) -> list[Interactions]:
    clicked = []
    for items, map_, request in zip(said, probability, requests, strict=True):
        click = next_click(map_ >= 0.5, request.truth)
        clicked.append(items if click is None else items.with_added(click))
    return clicked


def converse(model: KPrism, requests: list[Request], kind: str) -> list[np.ndarray]:
    """Return the answers before and after each of `CLICKS` corrections."""
    said = [Interactions() for _ in requests]
    empty = np.zeros((len(requests), SIZE, SIZE), np.float32)
    answers = [empty if kind == "clicks" else ask(model, requests, kind)]
    for _ in range(CLICKS):
        said = click_on(said, answers[-1], requests)
        answers.append(ask(model, requests, kind, said, answers[-1]))
    return answers


def dice(probability: np.ndarray, truth: np.ndarray) -> float:
    mask = probability >= 0.5
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


def by_structure(probability: np.ndarray, requests: list[Request]) -> list[float]:
    """Return the mean Dice of each structure."""
    scores = [dice(p, r.truth) for p, r in zip(probability, requests, strict=True)]
    return np.array(scores).reshape(-1, len(NAMES)).mean(0).tolist()


def test_a_nano_overfits_eight_phantoms_within_two_minutes_of_one_core(eight: Learned) -> None:
    assert eight.seconds < 120


@pytest.mark.parametrize("kind", ["class", "reference", "clicks"])
def test_it_answers_all_five_kinds_of_request(eight: Learned, kind: str) -> None:
    requests = requests_of(range(8))
    answers = converse(eight.model, requests, kind)
    # By class and by reference at once; by clicks after the first one. All of them refined too.
    for answer in answers[1 if kind == "clicks" else 0 :]:
        assert min(by_structure(answer, requests)) > 0.9


def swapped(request: Request, concept: int) -> Request:
    return Request(request.row, concept, request.reference)


@pytest.mark.parametrize("kind", ["class", "reference"])
@pytest.mark.parametrize("who", ["eight", "many"])
def test_the_knowledge_decides_which_structure_is_returned(
    kind: str, who: str, request: pytest.FixtureRequest
) -> None:
    learned: Learned = request.getfixturevalue(who)
    rows = range(8) if who == "eight" else range(5000, 5016)
    for a, b in permutations(range(len(NAMES)), 2):
        asked = [Request(r.row, a, r.reference) for r in requests_of(rows) if r.concept == a]
        right = ask(learned.model, asked, kind)
        wrong = ask(learned.model, [swapped(r, b) for r in asked], kind)
        truths = [r.truth for r in asked]
        kept = np.mean([dice(p, t) for p, t in zip(right, truths, strict=True)])
        lost = np.mean([dice(p, t) for p, t in zip(wrong, truths, strict=True)])
        assert kept > 0.9
        assert kept - lost >= 0.4


@pytest.mark.parametrize("kind", ["class", "reference", "clicks"])
def test_a_positive_click_raises_the_probability_under_it(many: Learned, kind: str) -> None:
    """Click where a part is missed in phantoms never seen: mostly single pixels at the edge."""
    requests = requests_of(range(5000, 5024))
    said = [Interactions() for _ in requests]
    if kind == "clicks":
        said = click_on(said, np.zeros((len(requests), SIZE, SIZE), np.float32), requests)
        before = ask(many.model, requests, kind, said)
    else:
        before = ask(many.model, requests, kind)
    more = click_on(said, before, requests)
    after = ask(many.model, requests, kind, more, before)
    rises = []
    for number, (items, known) in enumerate(zip(more, said, strict=True)):
        added = items.clicks[len(known.clicks) :]
        if added and added[0].is_positive:
            at = (number, added[0].row, added[0].col)
            rises.append(float(after[at] - before[at]))
    assert len(rises) >= 20
    assert np.mean(np.array(rises) > 0) >= 0.9
    assert np.mean(rises) > 0.05


def test_a_reference_shows_what_to_find_in_a_phantom_never_seen(many: Learned) -> None:
    requests = requests_of(range(5000, 5024))
    assert min(by_structure(ask(many.model, requests, "reference"), requests)) > 0.9


def test_clicks_and_classes_work_on_phantoms_never_seen(many: Learned) -> None:
    requests = requests_of(range(5000, 5024))
    assert min(by_structure(ask(many.model, requests, "class"), requests)) > 0.9
    assert min(by_structure(converse(many.model, requests, "clicks")[-1], requests)) > 0.9

"""Systems of a bench asked again about single cases, exactly as they were examined.

A cell keeps Dice and not masks; with the weights of OUT/runs a mask is found again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from medprism.core.prompt import Click, Mask2d
from medprism.data.store import SliceStore
from medprism.engines.loaded import LoadedModel
from medprism.evaluation.baselines.clicked import CLICK_METHODS, ClickedBaseline
from medprism.evaluation.bench.panel_cases import CLICKS
from medprism.evaluation.bench.runs import RUNS, read_run
from medprism.evaluation.bench.systems import SYSTEMS
from medprism.evaluation.cases import StoreReader, Target, targets_of
from medprism.evaluation.catalog import CATALOG
from medprism.evaluation.protocols import (
    CLICKED,
    EXAMPLE,
    INTERACTIVE,
    ONE_SHOT,
    SEMANTIC,
    ClickLimits,
    Exam,
    Question,
    class_name,
)
from medprism.evaluation.references import FixedReferences
from medprism.inference.session import Session
from medprism.models.checkpoint import hash_tensors
from medprism.training.loop import STATE_FILE
from medprism.training.run import is_finished
from medprism.training.run_record import RUN_FILE, RunRecord
from medprism.training.state import read_average

# Many systems are open at once, each for a few cases.
CACHE_BYTES: Final = 32 * 2**20
# Where a session holds what was found without a class.
_LABELS: Final = {ONE_SHOT: EXAMPLE, INTERACTIVE: CLICKED}


@dataclass(frozen=True, eq=False)
class Seen:
    """What a system made of a case: `clicks` are those it was given."""

    mask: Mask2d
    dice: float
    clicks: tuple[Click, ...]


@runtime_checkable
class Askable(Protocol):
    """A system that can be asked about a case of a store."""

    def see(self, number: int, target: Target, protocol: str) -> Seen | None:
        """Return the mask of a structure on a row; None where it has no answer."""


@dataclass(frozen=True)
class Remains:
    """What is left of a system: the hash of its weights, or why it cannot be asked again."""

    weights: str | None
    why: str = ""


def remains_of(method: str, out: Path) -> Remains:
    """Return what is left of a system, by its name in the cells of a bench.

    Methods without weights have the name of the method in place of a hash.

    Raises:
        CheckpointError: the state of its run is damaged.
    """
    folder = out / RUNS / method
    if method in CLICK_METHODS:
        return Remains(method)
    if not (folder / RUN_FILE).exists():
        return Remains(None, f"no weights of it in {RUNS}/")
    if not is_finished(folder):
        return Remains(None, "its run is not finished")
    system = SYSTEMS.get(RunRecord.load(folder).recipe)
    if system is None:
        return Remains(None, "this version does not know it")
    if system.is_missing:
        return Remains(None, f"it needs pip install {system.needs}")
    return Remains(hash_tensors(read_average(folder / STATE_FILE)))


@dataclass(frozen=True)
class Manner:
    """How a system was asked, of what its cells say."""

    clicks: int
    auto_zoom: bool
    reference_seed: int

    @classmethod
    def of(cls, plan: Mapping[str, Any]) -> Manner:
        """Return the manner of a cell's plan; clicks are `CLICKS` at most.

        >>> Manner.of({"clicks": 10, "auto_zoom": False, "reference_seed": 3})
        Manner(clicks=5, auto_zoom=False, reference_seed=3)
        """
        return cls(
            clicks=min(CLICKS, int(plan.get("clicks", CLICKS))),
            auto_zoom=bool(plan.get("auto_zoom", False)),
            reference_seed=int(plan.get("reference_seed", 0)),
        )


def open_again(method: str, manner: Manner, *, out: Path, store: SliceStore) -> Askable:
    """Return a system of which enough is left (`remains_of`), to be asked as it was."""
    if method in CLICK_METHODS:
        return _Method(method, store, manner)
    return _System(read_run(out / RUNS / method), store, manner)


class _System:
    """A trained system in a session."""

    def __init__(self, model: LoadedModel, store: SliceStore, manner: Manner) -> None:
        self._model = model
        self._store = store
        self._session = Session(model, auto_zoom=manner.auto_zoom, cache_bytes=CACHE_BYTES)
        self._exam = Exam(
            session=self._session,
            store=store,
            reader=StoreReader(store),
            references=FixedReferences(store, manner.reference_seed),
            method=model.name,
            limits=ClickLimits(interactive=manner.clicks),
        )

    def see(self, number: int, target: Target, protocol: str) -> Seen | None:
        """Run a protocol, and look at what the session then holds."""
        concepts, concept = self._model.concepts, target.concept
        targets = targets_of(self._store, target.dataset, concepts)
        # All classes are asked for at once, as they were; the others leave only their last case.
        asked = targets if protocol == SEMANTIC else [t for t in targets if t.concept == concept]
        rows = CATALOG[protocol](self._exam, number, asked)
        row = next((r for r in rows if (r.concept, r.protocol) == (concept, protocol)), None)
        if row is None:
            return None
        label = class_name(concepts, concept) if protocol == SEMANTIC else _LABELS[protocol]
        if label is None:
            return None
        clicks = self._session.interactions(label).clicks if protocol == INTERACTIVE else ()
        return Seen(self._session.mask(label), row.values[-1], clicks)


class _Method:
    """A method that knows nothing but image and clicks."""

    def __init__(self, name: str, store: SliceStore, manner: Manner) -> None:
        self._reader = StoreReader(store)
        self._method = ClickedBaseline(name, store, self._reader, clicks=manner.clicks)

    def see(self, number: int, target: Target, protocol: str) -> Seen | None:
        """Click; there is no other way of asking."""
        if protocol != INTERACTIVE:
            return None
        image, truth = self._reader.image(number), self._reader.truth(number, target)
        answer = self._method.answer(Question(number, target, image, truth))
        return Seen(answer.mask, answer.values[-1], answer.clicks)

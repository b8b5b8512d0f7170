"""Systems examined alike: the same slices, references and clicks, one cell a system and set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from medprism.core.concepts import ConceptTable
from medprism.core.progress import Progress
from medprism.data.diet import choose_diet
from medprism.data.store import SliceStore
from medprism.engines.loaded import LoadedModel
from medprism.evaluation.baselines.clicked import CLICK_METHODS, ClickedBaseline
from medprism.evaluation.bench.systems import OURS, System
from medprism.evaluation.benchmark import Plan, run
from medprism.evaluation.cases import StoreReader
from medprism.evaluation.examiners import Examiner, SessionExaminer
from medprism.evaluation.protocols import (
    INTERACTIVE,
    ONE_SHOT,
    REFINE_IN_CONTEXT,
    REFINE_SEMANTIC,
    SEMANTIC,
    ClickLimits,
)
from medprism.evaluation.shots import K_SHOT, REFERENCE_DRAWS
from medprism.evaluation.unet_baseline import UNetBaseline, UNetRun
from medprism.models.segmenter import Accepts

CELLS: Final = "cells"
UNET: Final = "unet-task"

# What a protocol asks with: classes, references, clicks.
NEEDS: Final = {
    SEMANTIC: (True, False, False),
    ONE_SHOT: (False, True, False),
    INTERACTIVE: (False, False, True),
    REFINE_SEMANTIC: (True, False, True),
    REFINE_IN_CONTEXT: (False, True, True),
}
# Of the main model alone, as in the paper's tables 9 and 10: they cost as much as all others.
MORE: Final = (K_SHOT, REFERENCE_DRAWS)


@dataclass(frozen=True, kw_only=True)
class Examination:
    """Which slices are examined, and how many clicks a system gets.

    The main model gets `refine_ours` clicks on a first mask, so that they can be counted to a Dice
    target as those from nothing are; the others `limits.refine`, as each click costs a decoding.
    """

    plan: Plan
    limits: ClickLimits = ClickLimits()
    refine_ours: int = 10

    def limits_of(self, system: System) -> ClickLimits:
        """Return the clicks that a system gets.

        Raises:
            ConfigError: fewer than one.
        """
        is_ours = system.group == OURS
        return replace(self.limits, refine=self.refine_ours) if is_ours else self.limits


def protocols_of(accepts: Accepts) -> tuple[str, ...]:
    """Return the protocols that a model can take part in.

    >>> protocols_of(Accepts(classes=True, references=False, clicks=True))
    ('semantic', 'interactive', 'refine-semantic')
    """
    can = (accepts.classes, accepts.references, accepts.clicks)
    return tuple(
        name
        for name, needs in NEEDS.items()
        if all(able or not needed for able, needed in zip(can, needs, strict=True))
    )


def protocols_for(system: System, accepts: Accepts) -> tuple[str, ...]:
    """Return the protocols that a system is examined by, given what its model accepts."""
    own = protocols_of(system.asks or accepts)
    return (*own, *MORE) if system.group == OURS else own


def examine_system(
    model: LoadedModel,
    system: System,
    store: SliceStore,
    out: Path,
    examination: Examination,
    progress: Progress | None = None,
) -> None:
    """Examine a trained system on every set of the plan; finished cells stay as they are.

    Without auto-zoom, which only some systems could use.

    Raises:
        StoreError: `out` holds a cell of other weights or of another plan.
        CancelledError: the progress asked to stop; finished sets are kept.
    """
    examiner = SessionExaminer(
        model,
        store,
        StoreReader(store),
        protocols=protocols_for(system, model.segmenter.accepts),
        limits=examination.limits_of(system),
        auto_zoom=False,
    )
    run(examiner, store, model.concepts, examination.plan, out / CELLS, progress)


def examine_untrained(
    name: str,
    store: SliceStore,
    out: Path,
    examination: Examination,
    progress: Progress | None = None,
) -> None:
    """Examine a method that learns nothing (`CLICK_METHODS`) on every set of the plan."""
    clicks = min(5, examination.limits.interactive)
    examiner = ClickedBaseline(name, store, StoreReader(store), clicks=clicks)
    _run(examiner, store, out, examination, progress)


def examine_unets(
    store: SliceStore,
    out: Path,
    examination: Examination,
    unet: UNetRun,
    progress: Progress | None = None,
) -> None:
    """Train a UNet a set and examine it; sets without `train` slices give no rows."""
    _run(UNetBaseline(store, StoreReader(store), unet), store, out, examination, progress)


def _run(
    examiner: Examiner,
    store: SliceStore,
    out: Path,
    examination: Examination,
    progress: Progress | None,
) -> None:
    run(examiner, store, concepts_of(store), examination.plan, out / CELLS, progress)


def concepts_of(store: SliceStore) -> ConceptTable:
    """Return the class table that training on all sets of a store makes."""
    return choose_diet(store).concepts


UNTRAINED: Final = tuple(CLICK_METHODS)

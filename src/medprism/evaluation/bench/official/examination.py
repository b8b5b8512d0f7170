"""An official package examined on every set of a plan, by the protocols that ours are examined by.

A set on which it fails is noted and left out; the next one gets a new process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from medprism.core.concepts import ConceptTable
from medprism.core.errors import StoreError
from medprism.core.progress import Progress
from medprism.data.store import SliceStore
from medprism.evaluation.bench.examination import CELLS, Examination, concepts_of
from medprism.evaluation.bench.official.failures import Failure, forget_failure, write_failure
from medprism.evaluation.bench.official.nninteractive import NnInteractiveWeights
from medprism.evaluation.bench.official.nnunetv2 import NnUNetWeights
from medprism.evaluation.bench.official.packages import OFFICIAL, PACKAGES, OfficialOrder
from medprism.evaluation.bench.official.process import (
    FAILED,
    PACKAGE_MISSING,
    WEIGHTS_REFUSED,
    RunnerError,
    RunnerProcess,
)
from medprism.evaluation.bench.official.sam2 import Sam2Weights
from medprism.evaluation.bench.official.sessions import OfficialSession, SpacedReader
from medprism.evaluation.bench.official.weights import Weights
from medprism.evaluation.benchmark import cell_path, choose_slices, datasets_of, run
from medprism.evaluation.cases import Target, targets_of
from medprism.evaluation.catalog import CATALOG
from medprism.evaluation.facts import role_in
from medprism.evaluation.protocols import ClickLimits, Exam
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.results import ResultRow

READ: Final[Mapping[str, Callable[[OfficialOrder, ConceptTable], Weights]]] = {
    "nnunetv2": NnUNetWeights.read,
    "nninteractive": NnInteractiveWeights.read,
    "sam2": Sam2Weights.read,
}


@dataclass(frozen=True)
class Outcome:
    """Sets that are examined, cells that are missing, and sets that the weights know nothing of."""

    finished: tuple[str, ...]
    failures: tuple[Failure, ...]
    unknown: tuple[str, ...]


class OfficialExaminer:
    """Drives the session of a package through its protocols."""

    def __init__(
        self,
        order: OfficialOrder,
        identity: Mapping[str, object],
        session: OfficialSession,
        store: SliceStore,
        limits: ClickLimits,
    ) -> None:
        self.name = order.method
        self._identity = identity
        self._protocols = PACKAGES[order.package].protocols
        self._exam = Exam(
            session=session,
            store=store,
            reader=SpacedReader(store),
            references=FixedReferences(store),
            method=order.method,
            limits=limits,
        )

    def identity(self) -> dict[str, object]:
        """Return package, version, weights and settings."""
        return {
            **self._identity,
            "grid": self._exam.reader.grid,
            "protocols": list(self._protocols),
            "clicks": self._exam.limits.interactive,
        }

    def examine(self, number: int, targets: Sequence[Target]) -> list[ResultRow]:
        """Run every protocol of the package on one slice."""
        return [
            row for name in self._protocols for row in CATALOG[name](self._exam, number, targets)
        ]


def examine_official(
    order: OfficialOrder,
    store: SliceStore,
    out: Path,
    examination: Examination,
    progress: Progress | None = None,
) -> Outcome:
    """Examine a package on every set of the plan that its weights know something of.

    Finished cells stay as they are; cells that could not be filled are noted in `out`.

    Raises:
        CheckpointError: the weights are not those of the package.
        ConfigError: the interpreter cannot be started.
        StoreError: `out` holds a cell of other weights, or nothing can be asked.
        CancelledError: the progress asked to stop; finished sets are kept.
    """
    concepts = concepts_of(store)
    weights = READ[order.package](order, concepts)
    roles = _roles(weights, store, examination, concepts)
    known = [name for name, of in roles.items() if of]
    if not known:
        raise StoreError(
            f"the weights {order.weights} know no structure of the chosen sets of {store.path}; "
            "choose other sets or weights"
        )
    with RunnerProcess(order.package, order.python, seconds=order.seconds) as runner:
        work = _Work(order, weights, runner, store, out, examination)
        for place, name in enumerate(known):
            try:
                loaded = work.load()
            except RunnerError as error:
                # Whatever set comes next, it would be the same.
                for rest in known[place:]:
                    work.note(rest, roles[rest], error)
                break
            try:
                work.examine(name, loaded, concepts, progress)
            except RunnerError as error:
                work.note(name, roles[name], error)
    missing = {failure.dataset for failure in work.failures}
    return Outcome(
        finished=tuple(name for name in known if name not in missing),
        failures=tuple(work.failures),
        unknown=tuple(name for name, of in roles.items() if not of),
    )


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A package with its weights, ready to be asked, and what cells know it by."""

    session: OfficialSession
    identity: Mapping[str, object]


@dataclass(eq=False)
class _Work:
    """What examining one set after the other needs, and what came of it."""

    order: OfficialOrder
    weights: Weights
    runner: RunnerProcess
    store: SliceStore
    out: Path
    examination: Examination
    failures: list[Failure] = field(default_factory=list)
    loaded: _Loaded | None = None

    def load(self) -> _Loaded:
        """Start the package with its weights, unless it has them."""
        self.loaded = self.loaded or _load(self.order, self.weights, self.runner)
        return self.loaded

    def examine(
        self, dataset: str, loaded: _Loaded, concepts: ConceptTable, progress: Progress | None
    ) -> None:
        """Examine a set, or find its cell finished."""
        limits = self.examination.limits
        examiner = OfficialExaminer(self.order, loaded.identity, loaded.session, self.store, limits)
        plan = replace(self.examination.plan, datasets=(dataset,))
        run(examiner, self.store, concepts, plan, self.out / CELLS, progress)
        forget_failure(self.out, self.order.method, dataset)

    def note(self, dataset: str, roles: tuple[str, ...], error: RunnerError) -> None:
        """Note a failure, unless the cell is there from before; begin anew with the next set."""
        # What a package still knows after a failure nobody can say.
        self.runner.close()
        self.loaded = None
        if cell_path(self.out / CELLS, self.order.method, dataset).exists():
            return
        failure = Failure(
            method=self.order.method,
            dataset=dataset,
            roles=roles,
            protocols=PACKAGES[self.order.package].protocols,
            clicks=self.examination.limits.interactive,
            kind=error.kind,
            reason=str(error),
        )
        write_failure(self.out, failure)
        self.failures.append(failure)


def _load(order: OfficialOrder, weights: Weights, runner: RunnerProcess) -> _Loaded:
    """Find the package in its interpreter, then give it the weights.

    Raises:
        RunnerError: it is not there, or refuses them.
    """
    try:
        found, _ = runner.ask("find")
    except RunnerError as error:
        raise RunnerError(
            f"{error}; install it for that interpreter: pip install "
            f"{PACKAGES[order.package].install}",
            PACKAGE_MISSING if error.kind == FAILED else error.kind,
        ) from error
    try:
        said, _ = runner.ask(
            "load",
            weights=str(order.weights.absolute()),
            device=order.device,
            threads=order.threads,
            **weights.settings,
        )
    except RunnerError as error:
        kind = WEIGHTS_REFUSED if error.kind == FAILED else error.kind
        raise RunnerError(str(error), kind) from error
    identity: dict[str, object] = {
        "method": order.method,
        "tier": OFFICIAL,
        "package": order.package,
        "version": found["version"],
        "device": said["device"],
        "weights": weights.digest,
        "weights_licence": said.get("licence"),
        **weights.settings,
    }
    return _Loaded(weights.session(runner, said), identity)


def _roles(
    weights: Weights, store: SliceStore, examination: Examination, concepts: ConceptTable
) -> dict[str, tuple[str, ...]]:
    """Return the roles of what can be asked for on each set of the plan; none: nothing can."""
    plan = examination.plan
    roles: dict[str, tuple[str, ...]] = {}
    for name in datasets_of(store, plan):
        if choose_slices(store, name, plan):
            known = [one for one in targets_of(store, name, concepts) if weights.knows(one)]
            role = store.info(name).role
            roles[name] = tuple(sorted({role_in(name, role, one.concept) for one in known}))
    return roles

"""What a benchmark runs: something that has a name and answers for a slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from medprism.core.errors import ConfigError
from medprism.data.store import SliceStore
from medprism.engines.loaded import LoadedModel
from medprism.evaluation.cases import CaseReader, Target
from medprism.evaluation.catalog import CATALOG
from medprism.evaluation.protocols import PROTOCOLS, ClickLimits, Exam
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.results import ResultRow
from medprism.inference.session import Session


@runtime_checkable
class Examiner(Protocol):
    """A method under examination."""

    @property
    def name(self) -> str:
        """Name in tables."""

    def identity(self) -> Mapping[str, object]:
        """Return plain data that decides the rows; rows of another identity are never reused."""

    def examine(self, number: int, targets: Sequence[Target]) -> list[ResultRow]:
        """Return the rows of one slice."""


def method_name(model: LoadedModel) -> str:
    """Return what tables call a model: its preset, or the stem of its file."""
    return Path(model.name).stem


def identity_of(model: LoadedModel, *, auto_zoom: bool) -> dict[str, Any]:
    """Return what decides the answers of a model in a session, as plain data."""
    return {
        "method": method_name(model),
        "weights": model.weights_hash,
        "long_side": model.long_side,
        "engine": model.engine,
        "auto_zoom": auto_zoom,
    }


class SessionExaminer:
    """Drives a session through the chosen protocols."""

    def __init__(
        self,
        model: LoadedModel,
        store: SliceStore,
        reader: CaseReader,
        *,
        protocols: Sequence[str] = tuple(PROTOCOLS),
        limits: ClickLimits | None = None,
        seed: int = 0,
        auto_zoom: bool = True,
    ) -> None:
        unknown = [name for name in protocols if name not in CATALOG]
        if unknown or not protocols:
            raise ConfigError(
                f"protocol {unknown[0] if unknown else 'none'!r} is unknown; choose among "
                f"{', '.join(CATALOG)}"
            )
        self.name = method_name(model)
        self._protocols = tuple(name for name in CATALOG if name in protocols)
        self._seed = seed
        self._zoom = auto_zoom
        self._session = Session(model, auto_zoom=auto_zoom)
        self._exam = Exam(
            session=self._session,
            store=store,
            reader=reader,
            references=FixedReferences(store, seed),
            method=self.name,
            limits=limits or ClickLimits(),
        )

    def identity(self) -> dict[str, object]:
        """Return weights, engine and settings."""
        limits = self._exam.limits
        return {
            **identity_of(self._session.model, auto_zoom=self._zoom),
            "grid": self._exam.reader.grid,
            "protocols": list(self._protocols),
            "clicks": limits.interactive,
            "refine_clicks": limits.refine,
            "reference_seed": self._seed,
        }

    def examine(self, number: int, targets: Sequence[Target]) -> list[ResultRow]:
        """Run every protocol on one slice."""
        return [
            row for name in self._protocols for row in CATALOG[name](self._exam, number, targets)
        ]

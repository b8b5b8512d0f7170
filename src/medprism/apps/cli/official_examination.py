"""What `medprism bench official` does once its arguments are read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medprism.apps.cli.benching import say_report
from medprism.apps.cli.interrupt import STOPPED, Stoppable, stop_on_interrupt
from medprism.apps.cli.listing import split_list
from medprism.apps.cli.progress_bar import progress_bar
from medprism.core.errors import CancelledError
from medprism.data.case import ROLES
from medprism.data.store import SliceStore
from medprism.evaluation.bench.examination import CELLS, Examination
from medprism.evaluation.bench.official.examination import examine_official
from medprism.evaluation.bench.official.failures import Failure
from medprism.evaluation.bench.official.packages import OfficialOrder
from medprism.evaluation.benchmark import Plan
from medprism.evaluation.protocols import ClickLimits

INCOMPLETE: Final = 2
"""Exit status where a cell is missing; its reason is said and stands in the report."""


@dataclass(frozen=True, kw_only=True)
class PlanWish:
    """Which slices are examined with how many clicks, as typed."""

    roles: str
    datasets: str
    limit: int | None
    clicks: int

    def examination(self) -> Examination:
        """Return the same as a plan."""
        plan = Plan(
            roles=split_list(self.roles, "--roles", ROLES),
            datasets=split_list(self.datasets, "--datasets") if self.datasets else (),
            limit=self.limit,
        )
        return Examination(plan=plan, limits=ClickLimits(interactive=self.clicks))


def carry_out(order: OfficialOrder, wish: PlanWish, store: Path, out: Path) -> int:
    """Examine what is not examined, then report; return the exit status."""
    examination, opened = wish.examination(), SliceStore.open(store)
    with stop_on_interrupt() as stop, progress_bar(order.method) as bar:
        try:
            outcome = examine_official(order, opened, out, examination, Stoppable(bar, stop))
        except CancelledError:
            print("stopped; the same command goes on", file=sys.stderr)
            return STOPPED
    if outcome.unknown:
        sets = ", ".join(outcome.unknown)
        print(f"left out, as the weights know none of their structures: {sets}", file=sys.stderr)
    for sentence in _say(outcome.failures):
        print(sentence, file=sys.stderr)
    # Without a single cell there is nothing to report; all that failed was said.
    if any((out / CELLS).glob("*--*.json")):
        print(say_report(out))
    return INCOMPLETE if outcome.failures else 0


def _say(failures: Sequence[Failure]) -> list[str]:
    """Return a line for each reason, with the sets that it holds for."""
    sets: dict[str, list[str]] = {}
    for failure in failures:
        sets.setdefault(f"{failure.kind}: {failure.reason}", []).append(failure.dataset)
    return [f"medprism: {', '.join(names)}: {reason}" for reason, names in sets.items()]

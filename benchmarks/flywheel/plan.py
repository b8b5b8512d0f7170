"""One cell of the measurement: who annotates what, how, in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.flywheel.structure import Structure
from medprism.core.errors import ConfigError

FLYWHEEL: Final = "flywheel"
CLICKS_ONLY: Final = "clicks only"
METHODS: Final = (CLICKS_ONLY, FLYWHEEL)

EXACT: Final = "exact"
UNSTEADY: Final = "unsteady"
USERS: Final = (EXACT, UNSTEADY)

REACHED: Final = "reached"
DRAWN: Final = "drawn"
ACCEPTS: Final = (REACHED, DRAWN)


@dataclass(frozen=True, kw_only=True)
class UserSettings:
    """The simulated user.

    It clicks until Dice reaches `target` or `limit` clicks are made. The unsteady one aims
    anywhere in the inner part of the error instead of at its centre, and its hand moves by
    `spread` pixels (standard deviation of row and of column).
    """

    target: float = 0.9
    limit: int = 10
    spread: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.target <= 1 or self.limit < 1 or self.spread < 0:
            raise ConfigError(
                f"a user with target {self.target}, {self.limit} clicks and spread {self.spread} "
                "is none; give 0 < target <= 1, at least one click, and a spread of 0 or more"
            )


@dataclass(frozen=True)
class Plan:
    """A cell: structure, user, method, what is accepted, and the number of the image order.

    `accepts` says what a user keeps where the target is not reached: the mask that was `reached`,
    or the truth, `drawn` by hand with the brush, which is not counted as clicks.
    """

    structure: Structure
    user: str
    method: str
    accepts: str
    order: int

    @property
    def name(self) -> str:
        """A name for a file."""
        words = (
            self.structure.dataset,
            self.structure.concept,
            self.user,
            self.method,
            self.accepts,
            str(self.order),
        )
        return "--".join(word.replace(" ", "-") for word in words)


def plans_for(
    structure: Structure, users: tuple[str, ...], accepts: tuple[str, ...], orders: int
) -> list[Plan]:
    """Return all cells of a structure, order by order.

    Without references nothing depends on the order or on what is accepted; so clicks only are
    measured once where the user is exact, and once an order (with other draws) where it is not.

    >>> plans = plans_for(Structure("set", "cyst"), ("exact",), ("reached",), 2)
    >>> [(plan.method, plan.order) for plan in plans]
    [('clicks only', 0), ('flywheel', 0), ('flywheel', 1)]
    """
    plans = []
    for order in range(orders):
        for user in users:
            if order == 0 or user == UNSTEADY:
                plans.append(Plan(structure, user, CLICKS_ONLY, REACHED, order))
            plans.extend(Plan(structure, user, FLYWHEEL, keeps, order) for keeps in accepts)
    return plans

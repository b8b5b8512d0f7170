"""What the doctor found: one line of fact, a state, and the way out where something is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One fact about the installation.

    A `note` limits what can be done and is no fault (an extra that is not installed); a `problem`
    is one, and `advice` is then a sentence that says how to mend it.
    """

    subject: str
    state: State
    found: str
    advice: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain data."""
        return asdict(self)


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Say whether nothing is a problem.

    >>> is_healthy([Finding("torch", "ok", "2.13.0"), Finding("pacs", "note", "not installed")])
    True
    """
    return all(finding.state != "problem" for finding in findings)

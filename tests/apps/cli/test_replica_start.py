from __future__ import annotations

import pytest

from medprism.apps.cli.replica_start import open_together
from medprism.core.errors import ConfigError
from medprism.training.distributed import Alone


class _OneOfTwo(Alone):
    """A process of two, seen from inside; waiting is noted."""

    count = 2

    def __init__(self, rank: int, said: list[str]) -> None:
        self.rank = rank
        self.said = said

    def wait(self) -> None:
        self.said.append("wait")


@pytest.mark.parametrize(("rank", "order"), [(0, ["begin", "wait"]), (1, ["wait", "join"])])
def test_the_first_process_begins_and_the_others_follow(rank: int, order: list[str]) -> None:
    said: list[str] = []
    replicas = _OneOfTwo(rank, said)
    open_together(replicas, None, lambda: said.append("begin"), lambda: said.append("join"))
    assert said == order


def test_minutes_are_for_one_process() -> None:
    with pytest.raises(ConfigError, match="--minutes 3 cannot be timed with 2 processes"):
        open_together(_OneOfTwo(0, []), 3.0, lambda: 1, lambda: 2)
    assert open_together(Alone(), 3.0, lambda: 1, lambda: 2) == 1

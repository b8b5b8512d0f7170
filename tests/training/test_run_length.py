from __future__ import annotations

import pytest

from medprism.core.errors import ConfigError
from medprism.training.run_length import check_length, check_seed


@pytest.mark.parametrize(("steps", "minutes"), [(None, None), (3, 1.0)])
def test_a_length_is_given_in_one_unit(steps: int | None, minutes: float | None) -> None:
    with pytest.raises(ConfigError, match=r"^give the length of a walk either in steps or in min"):
        check_length("a walk", steps, minutes)


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("inf"), float("nan")])
def test_minutes_are_those_of_a_clock(minutes: float) -> None:
    with pytest.raises(ConfigError, match="minutes must be above 0"):
        check_length("a walk", None, minutes)


def test_a_seed_is_no_less_than_0() -> None:
    check_seed(None)
    check_seed(0)
    with pytest.raises(ConfigError, match="at least 0, got -1"):
        check_seed(-1)

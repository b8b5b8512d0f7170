from __future__ import annotations

import pytest

from medprism.apps.cli.listing import split_list
from medprism.core.errors import ConfigError


def test_names_keep_their_order_and_lose_blanks_and_doubles() -> None:
    assert split_list(" b ,a c,,b", "--classes") == ("b", "a c")


@pytest.mark.parametrize("text", ["", " , "])
def test_an_empty_list_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--roles"):
        split_list(text, "--roles")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no 'tets'; known: train, test"):
        split_list("train,tets", "--roles", known=("train", "test"))

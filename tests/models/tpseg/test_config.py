from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from medprism.core.errors import ConfigError
from medprism.models.tpseg.config import (
    HieraConfig,
    TaskDecoderConfig,
    TPSegConfig,
    tpseg_base,
    tpseg_compact,
    tpseg_nano,
)


@pytest.mark.parametrize("config", [tpseg_base(), tpseg_compact(5), tpseg_nano(2)])
def test_settings_survive_json(config: TPSegConfig) -> None:
    assert TPSegConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"embed": 7, "heads": 2}, "multiple of 2 heads"),
        ({"blocks": (1, 1, 1)}, "4 stages"),
        ({"windows": (3, 4, 4, 2)}, "must be even"),
        ({"global_blocks": (5,)}, "must lie below 5 blocks"),
        ({"blocks": (1, 0, 2, 1)}, "blocks must be whole numbers"),
        ({"embed": 2**40}, "embed must be whole numbers"),
    ],
)
def test_a_trunk_is_checked(change: dict[str, Any], says: str) -> None:
    given = {"embed": 8, "heads": 1, "blocks": (1, 1, 2, 1), "windows": (4, 4, 4, 2)}
    with pytest.raises(ConfigError, match=says):
        HieraConfig(**{**given, **change})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"reduced": (8, 8, 16)}, "4 reduced maps and 3 stages"),
        ({"middles": (16, 16, 12)}, "even multiples of 4 heads"),
        ({"experts": 0}, "experts must be whole numbers"),
        ({"temperature": 0.0}, "must be above 0"),
        ({"prior": float("nan")}, "must be above 0"),
    ],
)
def test_a_decoder_is_checked(change: dict[str, Any], says: str) -> None:
    given = {"reduced": (8, 8, 16, 16), "middles": (16, 16, 16)}
    with pytest.raises(ConfigError, match=says):
        TaskDecoderConfig(**{**given, **change})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("adapter", "none", "use one of 'shared', 'task', 'dual'"),
        ("prototype_mode", "fixed", "use one of 'ema', 'learned', 'frozen'"),
        ("prototype_first", "never", "use one of 'copy', 'blend'"),
        ("prototype_momentum", 1.5, "of 0..1"),
        ("num_tasks", 0, "num_tasks must be whole numbers"),
        ("least_pixels", -1, "least_pixels must be whole numbers"),
    ],
)
def test_a_model_is_checked(name: str, value: object, says: str) -> None:
    # Past the type checker of the tests, as settings from a file come.
    broken = replace(tpseg_nano(3))
    object.__setattr__(broken, name, value)
    with pytest.raises(ConfigError, match=says):
        broken.__post_init__()


@pytest.mark.parametrize(
    "damage", [{"trunk": None}, {"trunk": {"embed": 8}}, {"decoder": {"odd": 1}}, {"odd": 1}]
)
def test_damaged_settings_are_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        TPSegConfig.from_json({**tpseg_nano(3).to_json(), **damage})
    with pytest.raises(ConfigError, match="incomplete or unknown"):
        TPSegConfig.from_json({})


def test_a_trunk_takes_pixels_on_one_of_two_scales() -> None:
    trunk = tpseg_nano(3).trunk
    old = {key: value for key, value in tpseg_nano(3).to_json()["trunk"].items() if key != "pixels"}
    assert HieraConfig.from_json(old) == trunk
    assert trunk.pixels == "centred"
    broken = replace(trunk)
    object.__setattr__(broken, "pixels", "bgr")
    with pytest.raises(ConfigError, match="pixels 'bgr' is unknown; use one of 'centred', 'imag"):
        broken.__post_init__()
    with pytest.raises(ConfigError, match="settings of a trunk are incomplete or unknown"):
        HieraConfig.from_json({**old, "odd": 1})

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from medprism.core.errors import ConfigError
from medprism.models.blocks.unet import BodyConfig
from medprism.models.iris.config import (
    IrisConfig,
    MaskDecoderConfig,
    TaskConfig,
    iris_compact,
    iris_kprism2d,
    iris_nano,
)


@pytest.mark.parametrize("config", [iris_compact(7), iris_kprism2d(), iris_nano(3, 2)])
def test_settings_survive_json(config: IrisConfig) -> None:
    assert IrisConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dim": 20, "heads": 8}, "multiple of 8 heads"),
        ({"queries": 0, "has_foreground": False}, "needs the foreground stream"),
        ({"queries": 3, "layers": 0}, "needs the foreground stream"),
        ({"queries": -1}, "queries must be whole numbers"),
        ({"dim": 2**40}, "dim must be whole numbers"),
    ],
)
def test_a_task_encoder_is_checked(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        TaskConfig(**{"stride": 4, "dim": 16, **change})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"blocks": ()}, "deepest map needs"),
        ({"blocks": (0, 1)}, "deepest map needs"),
        ({"head_dim": 0}, "head_dim must be whole numbers"),
    ],
)
def test_a_decoder_is_checked(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        MaskDecoderConfig(**change)


@pytest.mark.parametrize(
    ("part", "name", "says"),
    [
        (iris_nano(3).task, "mask_entry", "use 'shuffle', 'strided' or 'coarse'"),
        (iris_nano(3).task, "pooling", "use 'area' or 'space'"),
        (iris_nano(3).decoder, "token_sight", "use 'none', 'class' or 'stack'"),
        (iris_nano(3).body, "skip", "use 'concat' or 'add'"),
        (iris_nano(3).body, "norm", "must be 'group' or 'instance'"),
    ],
)
def test_unknown_words_are_refused(
    part: TaskConfig | MaskDecoderConfig | BodyConfig, name: str, says: str
) -> None:
    # Past the type checker of the tests, as settings from a file come.
    broken = replace(part)
    object.__setattr__(broken, name, "other")
    with pytest.raises(ConfigError, match=says):
        broken.__post_init__()


def test_parts_that_do_not_fit_are_refused() -> None:
    config = iris_nano(3)
    for stride in (1, 3, 32):
        with pytest.raises(ConfigError, match=f"task stride {stride} must be"):
            replace(config, task=replace(config.task, stride=stride))
    with pytest.raises(ConfigError, match="more than the 4 maps"):
        replace(config, decoder=replace(config.decoder, blocks=(1,) * 5))
    with pytest.raises(ConfigError, match="cannot be split into heads of about 9"):
        replace(config, decoder=replace(config.decoder, head_width=9))
    with pytest.raises(ConfigError, match="num_concepts"):
        replace(config, num_concepts=0)
    with pytest.raises(ConfigError, match="bank_momentum"):
        replace(config, bank_momentum=1.5)


@pytest.mark.parametrize(
    "damage", [{"body": None}, {"task": {"stride": 4}}, {"decoder": {"odd": 1}}, {"body": {}}]
)
def test_damaged_settings_are_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        IrisConfig.from_json({**iris_nano(3).to_json(), **damage})
    with pytest.raises(ConfigError, match="incomplete or unknown"):
        IrisConfig.from_json({})

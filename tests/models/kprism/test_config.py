from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.core.errors import ConfigError
from medprism.models.kprism.config import (
    DecoderConfig,
    EncoderConfig,
    KPrismConfig,
    kprism_base,
    kprism_compact,
    kprism_nano,
)

PRESETS = [kprism_base(), kprism_compact(70), kprism_nano(3)]


@pytest.mark.parametrize("config", PRESETS)
def test_settings_survive_json(config: KPrismConfig) -> None:
    assert KPrismConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_the_first_stage_follows_from_the_number_of_stages() -> None:
    assert kprism_base().image_encoder.first_stage == 0
    assert kprism_compact(3).image_encoder.first_stage == 1


@pytest.mark.parametrize(
    ("widths", "blocks"), [((8, 16, 32), (1, 1, 1)), ((8, 16, 32, 48), (1, 1, 1))]
)
def test_an_encoder_has_four_or_five_stages(widths: Any, blocks: Any) -> None:  # noqa: ANN401
    with pytest.raises(ConfigError, match="4 stages"):
        EncoderConfig(widths=widths, blocks=blocks)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 30, "heads": 4}, "multiple of 4 heads and of 4"),
        ({"dim": 6, "heads": 3}, "of 4"),
        ({"dim": 136}, "of 32 from 128 on"),
        ({"strides": (16, 8)}, "one width for each layer"),
        ({"strides": (16, 8, 2), "pixel_hidden": (8, 8, 8)}, "end at 4"),
        ({"strides": (16, 4, 8), "pixel_hidden": (8, 8, 8)}, "end at 4"),
        ({"read_experts": 0}, "read_experts"),
        ({"feed_experts": 0}, "feed_experts"),
    ],
)
def test_a_decoder_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DecoderConfig(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"mask_encoder": EncoderConfig(widths=(8, 16, 24, 40), blocks=(1, 1, 1, 1))},
            "same width",
        ),
        ({"context_queries": 5}, "even"),
        ({"num_concepts": 0}, "at least 1"),
        ({"class_queries": 0}, "class_queries"),
        ({"prompt_widths": (8, 8, 8, 12)}, "prompt_widths"),
    ],
)
def test_settings_that_contradict_are_refused(change: dict[str, Any], message: str) -> None:
    nano = kprism_nano(3)
    fields = {name: getattr(nano, name) for name in nano.__dataclass_fields__}
    with pytest.raises(ConfigError, match=message):
        KPrismConfig(**{**fields, **change})


def test_settings_with_a_missing_or_unknown_field_are_refused() -> None:
    payload = kprism_nano(3).to_json()
    del payload["click_hidden"]
    with pytest.raises(ConfigError, match="click_hidden"):
        KPrismConfig.from_json(payload)
    payload = kprism_nano(3).to_json()
    payload["decoder"]["warp"] = 9
    with pytest.raises(ConfigError, match="warp"):
        KPrismConfig.from_json(payload)


junk = st.one_of(
    st.none(),
    st.integers(-3, 3),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=3),
)


@given(
    field=st.sampled_from(sorted(kprism_nano(3).to_json())),
    inner=st.integers(0, 30),
    value=junk,
)
@settings(max_examples=150, deadline=None)
def test_damaged_settings_are_settings_or_one_clear_error(
    field: str, inner: int, value: object
) -> None:
    payload = kprism_nano(3).to_json()
    place = payload
    if isinstance(payload[field], dict):
        place, field = payload[field], sorted(payload[field])[inner % len(payload[field])]
    place[field] = value
    try:
        config = KPrismConfig.from_json(payload)
    except ConfigError:
        return
    assert KPrismConfig.from_json(config.to_json()) == config

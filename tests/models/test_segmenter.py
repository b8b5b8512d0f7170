from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

from medprism.models.segmenter import (
    Clicks,
    Decoded,
    Features,
    ReferenceFeatures,
    Segmenter,
    canvas_logits,
)


def make_references(seed: int, positions: int = 4) -> ReferenceFeatures:
    rng = torch.Generator().manual_seed(seed)
    return ReferenceFeatures(
        keys=torch.randn((2, positions, 5), generator=rng),
        values=torch.randn((2, positions, 5), generator=rng),
        valid=torch.rand((2, positions), generator=rng) < 0.5,
        summary=torch.randn((2, 3, 6, 7), generator=rng),
        weight=torch.rand((2, 3, 6), generator=rng),
    )


def test_features_are_picked_by_request() -> None:
    features = Features(
        (torch.arange(6.0).reshape(3, 1, 2, 1), torch.arange(3.0)[:, None, None, None])
    )
    picked = features.select(torch.tensor([2, 2, 0]))
    assert picked.maps[0][:, 0, :, 0].tolist() == [[4, 5], [4, 5], [0, 1]]
    assert picked.maps[1].flatten().tolist() == [2, 2, 0]


def test_bytes_are_counted_over_all_tensors() -> None:
    features = Features((torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 2, 2, dtype=torch.float16)))
    assert features.num_bytes == 32 * 4 + 8 * 2
    clicks = Clicks(
        torch.zeros(1, 3, 2), torch.ones(1, 3, dtype=torch.bool), torch.ones(1, 3, dtype=torch.bool)
    )
    assert clicks.num_bytes == 6 * 4 + 3 + 3


def test_a_value_is_mapped_into_a_value_of_its_kind() -> None:
    references = make_references(1)
    moved = references.map(lambda tensor: tensor[:1])
    assert isinstance(moved, ReferenceFeatures)
    assert moved.keys.shape == (1, 4, 5) and moved.valid.shape == (1, 4)
    assert references.keys.shape == (2, 4, 5)


def test_more_references_are_one_longer_value() -> None:
    one, other = make_references(1), make_references(2, positions=3)
    joined = ReferenceFeatures.concatenate([one, other])
    assert joined.keys.shape == (2, 7, 5)
    assert torch.equal(joined.values[:, 4:], other.values)
    assert torch.equal(joined.valid, torch.cat([one.valid, other.valid], 1))
    assert torch.allclose(joined.summary, one.summary + other.summary)
    assert torch.allclose(joined.weight, one.weight + other.weight)


@pytest.mark.parametrize("size", [(12, 20), (24, 40), (48, 80)])
def test_coarse_logits_are_brought_to_the_canvas(size: tuple[int, int]) -> None:
    logits = torch.linspace(-3, 3, size[1]).expand(2, *size).bfloat16()
    brought = canvas_logits(Decoded(logits, ()), (48, 80))
    single = logits[:, None].float()
    expected = torch.nn.functional.interpolate(single, (48, 80), mode="bilinear")[:, 0]
    torch.testing.assert_close(brought, expected)


def test_wrong_shapes_fail_where_the_value_is_made() -> None:
    yes = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(TypeCheckError):
        Clicks(torch.zeros(2, 4, 2), yes, yes)


def test_anything_else_is_no_segmenter() -> None:
    assert not isinstance(torch.nn.Identity(), Segmenter)

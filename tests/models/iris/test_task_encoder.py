from __future__ import annotations

import pytest
import torch
from torch import Tensor

from medprism.models.iris.config import TaskConfig
from medprism.models.iris.task_encoder import ShuffledMask, TaskEncoder, coarse_masks
from tests.models.iris.episodes import SIZES
from tests.models.iris.literal import shuffle_concat_convolve, upsample_mask_pool
from tests.models.largest import largest_tensor


def draw(ndim: int, channels: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    torch.manual_seed(11 + ndim)
    size = SIZES[ndim]
    features = torch.randn(2, channels, *(side // 4 for side in size), dtype=torch.float64)
    masks = (torch.rand(2, classes, *size) > 0.8).double()
    return features, masks


def config(**changes: object) -> TaskConfig:
    given = {"stride": 4, "dim": 16, "queries": 3, "layers": 1, "heads": 2, "feed": 2}
    return TaskConfig(**{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("detail", [1, 2])
def test_the_context_stream_is_shuffle_concat_convolve_unshuffle(ndim: int, detail: int) -> None:
    # As the paper has it: the map has c * stride^ndim channels and keeps them.
    channels = detail * 4**ndim
    module = ShuffledMask(config(dim=channels, detail=detail), channels, ndim).double()
    assert [name for name, _ in module.named_parameters()] == ["merge.weight", "merge.bias"]
    features, masks = draw(ndim, channels)
    ours, literal = module(features, masks), shuffle_concat_convolve(module, features, masks)
    assert float((ours - literal).detach().abs().max()) < 1e-9
    towards = torch.randn_like(literal)
    wanted = torch.autograd.grad((literal * towards).sum(), list(module.parameters()))
    found = torch.autograd.grad((ours * towards).sum(), list(module.parameters()))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_map_of_other_width_is_projected_and_brought_back(ndim: int) -> None:
    module = ShuffledMask(config(dim=24), 20, ndim).double()
    features, masks = draw(ndim, 20)
    ours, literal = module(features, masks), shuffle_concat_convolve(module, features, masks)
    assert ours.shape == (2, 3, 24, *features.shape[2:])
    assert float((ours - literal).detach().abs().max()) < 1e-9


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_foreground_token_is_the_literal_one(ndim: int) -> None:
    encoder = TaskEncoder(config(dim=16, queries=0, layers=0), 16, ndim).double()
    assert not list(encoder.parameters())
    features, masks = draw(ndim, 16)
    tasks = encoder(features, masks)
    literal = upsample_mask_pool(features, masks)
    assert tasks.tokens.shape == (2, 3, 1, 16)
    assert float((tasks.tokens[:, :, 0] - literal).abs().max()) < 1e-9


def test_no_full_size_map_with_channels_is_made() -> None:
    channels, side, classes = 64, 64, 1
    encoder = TaskEncoder(config(dim=64, queries=4), channels, 3)
    features = torch.randn(1, channels, *(side // 4,) * 3)
    masks = (torch.rand(1, classes, side, side, side) > 0.9).float()
    full_map = channels * side**3
    literal = largest_tensor(lambda: upsample_mask_pool(features, masks))
    ours = largest_tensor(lambda: encoder(features, masks))
    assert literal >= full_map
    # Largest are the mask itself and the map on the feature grid: a 64th of the literal form.
    assert ours <= full_map / 64


def test_every_class_is_encoded_as_if_it_were_alone() -> None:
    for entry in ("shuffle", "strided", "coarse"):
        encoder = TaskEncoder(config(mask_entry=entry, reads_foreground_only=True), 20, 3).double()
        features, masks = draw(3, 20)
        whole = encoder(features, masks)
        alone = encoder(features[1:], masks[1:, 2:])
        torch.testing.assert_close(whole.tokens[1:, 2:], alone.tokens, atol=1e-9, rtol=0)
        # Each entry tells its classes apart.
        assert float((whole.tokens[:, 0] - whole.tokens[:, 1]).detach().abs().max()) > 1e-3


def test_an_empty_mask_or_a_padded_class_is_absent_and_zero() -> None:
    encoder = TaskEncoder(config(), 20, 2).double()
    features, masks = draw(2, 20)
    masks[0, 1] = 0
    valid = torch.tensor([[True, True, True], [True, True, False]])
    tasks = encoder(features, masks, valid)
    assert tasks.present.tolist() == [[True, False, True], [True, True, False]]
    assert not tasks.tokens[0, 1].any()
    assert not tasks.tokens[1, 2].any()
    assert torch.isfinite(tasks.tokens).all()


def test_a_voxel_between_the_coarse_ones_is_seen_only_at_high_resolution() -> None:
    """The ablation without high-resolution masks loses a structure of one voxel."""
    features, masks = draw(3, 16, classes=1)
    masks.zero_()
    masks[:, :, 5, 8, 9] = 1
    assert not coarse_masks(masks, tuple(features.shape[2:])).any()
    high = TaskEncoder(config(), 16, 3).double()(features, masks)
    torch.manual_seed(1)
    low = TaskEncoder(config(mask_entry="coarse"), 16, 3).double()(features, masks)
    assert high.present.all()
    assert low.present.all()
    assert high.tokens[:, :, 0].any()
    assert not low.tokens[:, :, 0].any()


def test_the_mean_over_the_image_keeps_the_area() -> None:
    features, masks = draw(2, 20)
    torch.manual_seed(5)
    area = TaskEncoder(config(queries=0, layers=0), 20, 2).double()
    space = TaskEncoder(config(queries=0, layers=0, pooling="space"), 20, 2).double()
    space.load_state_dict(area.state_dict())
    assert isinstance(area.foreground, torch.nn.Linear)
    bias = area.foreground.bias
    share = masks.flatten(2).mean(-1)[..., None, None]
    by_area, by_space = area(features, masks).tokens, space(features, masks).tokens
    torch.testing.assert_close((by_area - bias) * share, by_space - bias)


@pytest.mark.parametrize(
    ("change", "tokens"),
    [({}, 4), ({"has_foreground": False}, 3), ({"queries": 0, "layers": 0}, 1)],
)
def test_each_stream_can_be_left_out(change: dict[str, object], tokens: int) -> None:
    encoder = TaskEncoder(config(**change), 20, 3).double()
    features, masks = draw(3, 20)
    assert encoder(features, masks).tokens.shape == (2, 3, tokens, 16)
    assert config(**change).tokens == tokens

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from medprism.core.errors import ConfigError
from medprism.models.blocks.unet import BodyConfig, Skip, UNetEncoder, UNetStep, check_counts

SIZES = {2: (16, 24), 3: (16, 8, 24)}


def make(ndim: int, **changes: object) -> BodyConfig:
    given: dict[str, Any] = {
        "ndim": ndim,
        "channels": 2,
        "widths": (4, 6, 10),
        "down_blocks": (1, 2, 1),
        "up_blocks": (1, 2),
    }
    return BodyConfig(**{**given, **changes})


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("skip", ["add", "concat"])
def test_maps_halve_down_and_steps_lead_back_up(ndim: int, skip: Skip) -> None:
    config = make(ndim, skip=skip)
    assert config.multiple == 4
    encoder = UNetEncoder(config).eval()
    image = torch.randn(2, 2, *SIZES[ndim])
    maps = encoder(image)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (width, *(side // 2**level for side in SIZES[ndim]))
        for level, width in enumerate(config.widths)
    ]
    fewer = encoder(image, 2)
    assert len(fewer) == 2
    assert torch.equal(fewer[1], maps[1])
    step = UNetStep(config, 1).eval()
    raised = step(maps[2], maps[1])
    assert raised.shape == maps[1].shape
    mode = "bilinear" if ndim == 2 else "trilinear"
    size = tuple(maps[1].shape[2:])
    if step.narrow is None:
        wide = F.interpolate(maps[2], size, mode=mode, align_corners=False)
        joined = torch.cat([wide, maps[1]], 1)
    else:
        narrow = step.narrow(maps[2])
        joined = F.interpolate(narrow, size, mode=mode, align_corners=False) + maps[1]
    torch.testing.assert_close(raised, step.blocks(joined))


def test_a_slice_volume_of_one_plane_convolved_in_plane_is_the_slice() -> None:
    """The 3-D network with kernels that are zero off-plane does what the 2-D network does."""
    torch.manual_seed(3)
    flat = UNetEncoder(make(2, norm="group"))
    deep = UNetEncoder(make(3, norm="group"))
    kernels = {}
    for name, value in flat.state_dict().items():
        if value.ndim == 4:
            wide = torch.zeros(*value.shape[:2], value.shape[2], *value.shape[2:])
            wide[:, :, value.shape[2] // 2] = value
            value = wide
        kernels[name] = value
    deep.load_state_dict(kernels)
    image = torch.randn(1, 2, 16, 24)
    # Equal planes, so that halving across planes changes nothing.
    volume = image[:, :, None].expand(-1, -1, 8, -1, -1)
    for one, other in zip(flat(image), deep(volume), strict=True):
        torch.testing.assert_close(other[:, :, 0], one, atol=1e-5, rtol=1e-5)


def test_the_shortcut_can_be_a_full_kernel() -> None:
    sizes = {kernel: make(3, shortcut_kernel=kernel) for kernel in (1, 3)}
    count = {
        kernel: sum(p.numel() for p in UNetEncoder(config).parameters())
        for kernel, config in sizes.items()
    }
    # 26 further weights for each pair of channels where a level changes the width.
    assert count[3] - count[1] == 26 * (4 * 6 + 6 * 10)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ndim": 4}, "ndim must be 2"),
        ({"widths": (4,)}, "at least 2 levels"),
        ({"down_blocks": (1, 1)}, "one entry of down_blocks"),
        ({"up_blocks": (1, 1, 1)}, "up_blocks fewer"),
        ({"widths": (4, -6, 10)}, "widths must be whole numbers"),
        ({"channels": 10**9}, "channels must be whole numbers"),
        ({"shortcut_kernel": 5}, "must be 1 or 3"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make(**{"ndim": 2, **change})


def test_counts_are_whole_numbers_in_range() -> None:
    check_counts("part", least=0, some=(0, 3))
    with pytest.raises(ConfigError, match="part some must be whole numbers of at least 1"):
        check_counts("part", some=(0, 3))

import numpy as np
import pytest
from scipy import ndimage

from medprism.core.randomness import counter_rng
from medprism.data.synthetic import draw_region
from tests.data.phantoms import comma, picture

SHAPES = [(60, 44), (200, 300), (5, 9), (384, 260), (3, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_region_is_one_connected_part_of_the_slice(shape: tuple[int, int], channels: int) -> None:
    image = picture(shape, comma(shape, 0, 0, 3), 1, channels).reshape(*shape, channels)
    for seed in range(8):
        region = draw_region(counter_rng(seed, "region"), image)
        assert region.shape == shape
        assert region.any()
        if min(shape) > 40:
            assert region.mean() < 0.75
            labels, count = ndimage.label(region, np.ones((3, 3)))
            assert np.bincount(labels.ravel())[1:].max() > 0.9 * region.sum(), count


def test_some_regions_are_the_thin_structures_of_the_image() -> None:
    rows, columns = np.mgrid[:160, :220]
    net = (np.abs(rows - 40 - columns / 4) < 1.5) | (np.abs(columns - 90 - rows / 3) < 1.5)
    noise = counter_rng(0, "noise").normal(0, 4, net.shape)
    image = np.clip(net * 90 + 60 + noise, 0, 255).astype(np.uint8)[..., None]
    near = ndimage.binary_dilation(net, iterations=2)
    found = 0
    for seed in range(60):
        region = draw_region(counter_rng(seed, "net"), image)
        is_precise = (region & near).sum() > 0.9 * region.sum()
        found += bool(is_precise and (region & net).sum() > 0.7 * net.sum())
    # Half of the regions are nets; half of those are of what is bright.
    assert 4 <= found <= 25


def test_regions_follow_strong_edges() -> None:
    shape = (120, 160)
    mask = comma(shape, 20, 30, 80)
    image = (mask * 200 + 20).astype(np.uint8)[..., None]
    inside = []
    for seed in range(60):
        region = draw_region(counter_rng(seed, "edges"), image)
        inside.append((region & mask).sum() / region.sum())
    # A region cut without regard to the edge would hold about a fifth of both sides.
    pure = [share < 0.1 or share > 0.9 for share in inside]
    assert np.mean(pure) > 0.6


def test_the_same_counter_gives_the_same_region_and_another_another() -> None:
    shape = (100, 70)
    image = picture(shape, comma(shape, 9, 5, 50), 1)[..., None]
    first = draw_region(counter_rng(4, "same"), image)
    np.testing.assert_array_equal(first, draw_region(counter_rng(4, "same"), image))
    assert any(
        (first != draw_region(counter_rng(seed, "same"), image)).any() for seed in range(5, 8)
    )


def test_regions_start_on_what_is_not_black() -> None:
    image = np.zeros((120, 160, 1), np.uint8)
    image[60:100, 20:70] = picture((40, 50), comma((40, 50), 5, 5, 20), 2)[..., None]
    for seed in range(20):
        region = draw_region(counter_rng(seed, "black"), image)
        assert (region & (image[..., 0] > 0)).any()
    black = draw_region(counter_rng(0, "black"), np.zeros((30, 20, 3), np.uint8))
    assert black.any()

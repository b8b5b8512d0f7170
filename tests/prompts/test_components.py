from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label as skimage_label

from medprism.core.errors import PromptError
from medprism.prompts.components import (
    Component,
    depth,
    draw_component,
    draw_inner_pixel,
    inner_part,
    largest_component,
)

from .phantoms import blobs, hook


@pytest.mark.parametrize("seed", range(4))
def test_largest_component_equals_scikit_image(seed: int) -> None:
    region = blobs(seed, sigma=1.5)
    labels = skimage_label(region, connectivity=1)
    areas = np.bincount(labels.ravel())[1:]
    found = largest_component(region)
    assert found is not None
    component, area = found
    assert area == areas.max() == component.mask.sum()
    placed = component.placed(component.mask, region.shape)
    assert np.array_equal(placed, labels == 1 + int(areas.argmax()))
    assert component.mask.any(0).all() or component.mask.any(1).all()


@pytest.mark.parametrize("region", [hook(), blobs(2), blobs(7, sigma=9.0)])
def test_depth_is_the_euclidean_distance_within_two_percent(region: np.ndarray) -> None:
    exact = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    np.testing.assert_allclose(depth(region), exact, rtol=0.025)


def test_the_inner_part_is_a_third_deep() -> None:
    exact = ndimage.distance_transform_edt(np.pad(hook(), 1))[1:-1, 1:-1]
    inner = inner_part(hook())
    assert (exact[inner] > 0.97 * exact.max() / 3).all()
    assert (exact[hook() & ~inner] < 1.03 * exact.max() / 3).all()


def test_components_are_drawn_by_area() -> None:
    region = np.zeros((40, 60), bool)
    region[3:20, 4:30] = True
    region[25:37, 41:55] = True
    rng = np.random.default_rng(3)
    tops = [draw_component(rng, region).top for _ in range(2000)]
    assert set(tops) == {3, 25}
    assert tops.count(25) / 2000 == pytest.approx(168 / (168 + 442), abs=0.04)


def test_an_inner_pixel_is_in_the_inner_part() -> None:
    component = Component(hook(), 5, 7)
    rng = np.random.default_rng(2)
    inner = inner_part(hook())
    assert all(inner[draw_inner_pixel(rng, component)] for _ in range(200))


def test_an_empty_region_has_no_component() -> None:
    nothing = np.zeros((5, 8), bool)
    assert largest_component(nothing) is None
    with pytest.raises(PromptError, match="at least one pixel"):
        draw_component(np.random.default_rng(0), nothing)

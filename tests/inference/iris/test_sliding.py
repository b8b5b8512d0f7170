from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal.windows import gaussian

from medprism.core.windows import window_places
from medprism.engines.iris import LoadedIris
from medprism.inference.iris.sliding import describe_volume, embed_volume, encode_windows, slide
from tests.data.volume_phantoms import draw_volume

from .nano import load_nano


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedIris:
    return load_nano(tmp_path_factory.mktemp("nano"))


def reference_tensors(number: int, cut: tuple[slice, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    image, labels = draw_volume(number, (32, 48, 32))
    masks = np.stack([labels == 1, labels == 2])[(slice(None), *cut)]
    return (
        torch.from_numpy(image[cut].copy())[None, None],
        torch.from_numpy(masks.astype(np.float32))[None],
    )


def test_one_window_over_the_whole_is_the_model_itself(loaded: LoadedIris) -> None:
    image, labels = draw_volume(1, (32, 48, 32))
    masks = np.stack([labels == 1, labels == 2])
    tasks = embed_volume(loaded.model, image, masks, 48)
    everything = (slice(None),) * 3
    with torch.inference_mode():
        expected_tasks = loaded.model.encode_references(*reference_tensors(1, everything))
        query = torch.from_numpy(image)[None, None]
        expected = loaded.model.segment(query, expected_tasks)[0].numpy()
    torch.testing.assert_close(tasks.tokens, expected_tasks.tokens)
    np.testing.assert_allclose(slide(loaded.model, image, tasks, 48), expected, atol=1e-5)
    vector = describe_volume(loaded.model, image, 48)
    with torch.inference_mode():
        described = loaded.model.describe_image(loaded.model.encode(query))
    torch.testing.assert_close(vector, described, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("spread", [None, 0.125, 0.4])
def test_windows_are_averaged_where_they_overlap(loaded: LoadedIris, spread: float | None) -> None:
    image, labels = draw_volume(2, (32, 48, 32))
    tasks = embed_volume(loaded.model, image, (labels == 1)[None], 48)
    total, count = np.zeros((1, 32, 48, 32)), np.zeros((32, 48, 32))
    # The same weight by another road: SciPy's Gaussian window along every axis.
    axis = np.ones(32) if spread is None else gaussian(32, spread * 32)
    weights = np.einsum("i,j,k->ijk", axis, axis, axis)
    weights = np.maximum(weights / weights.max(), 1e-3)
    for a, b, c in window_places((32, 48, 32), (32, 32, 32)):
        at = (slice(a, a + 32), slice(b, b + 32), slice(c, c + 32))
        with torch.inference_mode():
            part = torch.from_numpy(image[at].copy())[None, None]
            total[(slice(None), *at)] += loaded.model.segment(part, tasks)[0].numpy() * weights
        count[at] += weights
    found = slide(loaded.model, image, tasks, 32, spread=spread)
    np.testing.assert_allclose(found, total / count, atol=1e-5)


def test_a_volume_smaller_than_a_window_is_continued_by_its_edge(loaded: LoadedIris) -> None:
    image, labels = draw_volume(3)
    mask = (labels == 1)[None]
    tasks = embed_volume(loaded.model, image, mask, 48)
    found = slide(loaded.model, image, tasks, 48)
    assert found.shape == (1, *image.shape)
    margins = [(1, 1), (4, 4), (7, 7)]
    wide = np.pad(image, margins, mode="edge")
    with torch.inference_mode():
        expected = loaded.model.segment(torch.from_numpy(wide)[None, None], tasks)[0].numpy()
    np.testing.assert_allclose(found, expected[:, 1:-1, 4:-4, 7:-7], atol=1e-5)


def test_a_class_is_encoded_from_the_window_that_shows_it(loaded: LoadedIris) -> None:
    rng = np.random.default_rng(4)
    image = rng.normal(size=(32, 96, 32)).astype(np.float32)
    masks = np.zeros((3, 32, 96, 32), bool)
    masks[0, 5:15, 3:12, 8:20] = True
    masks[1, 9:20, 80:90, 4:25] = True
    tasks = embed_volume(loaded.model, image, masks, 32)
    assert tasks.present.tolist() == [[True, True, False]]
    for row, at in ((0, slice(0, 32)), (1, slice(64, 96))):
        shown = torch.from_numpy(masks[row : row + 1, :, at].astype(np.float32))[None]
        with torch.inference_mode():
            part = torch.from_numpy(image[:, at].copy())[None, None]
            alone = loaded.model.encode_references(part, shown)
        torch.testing.assert_close(tasks.tokens[:, row], alone.tokens[:, 0])
    features, shown = encode_windows(loaded.model, image, masks, (32, 32, 32))
    assert len(features.maps[0]) == len(shown) == 3 or len(shown) == 2
    assert shown[:, 0].sum() == masks[0].sum()

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medprism.core.errors import ConfigError, StoreError
from medprism.data.diet import table_of
from medprism.data.volume_episode import VolumeEpisodeConfig, VolumeEpisodes

from .volume_phantoms import phantom_set

SMALL = VolumeEpisodeConfig(side=32, most_classes=2)


def make_episodes(config: VolumeEpisodeConfig = SMALL, split: str = "train") -> VolumeEpisodes:
    sets = [phantom_set(6), phantom_set(5, "more")]
    concepts, _ = table_of([one.info for one in sets])
    return VolumeEpisodes(sets, concepts, config, split)


def test_query_and_reference_are_of_one_set_and_two_patients() -> None:
    episodes = make_episodes()
    drawn = [episodes.draw(1, step, 0) for step in range(60)]
    assert {one.dataset for one in drawn} == {"phantoms", "more"}
    assert all(one.query_case != one.reference_case for one in drawn)
    held_out = {("phantoms", "case4"), ("phantoms", "case5"), ("more", "case3"), ("more", "case4")}
    for one in drawn:
        assert not {(one.dataset, one.query_case), (one.dataset, one.reference_case)} & held_out
    # Classes are dropped: sometimes one, sometimes both, in either order.
    assert {tuple(one.concept.tolist()) for one in drawn} == {(0,), (1,), (0, 1), (1, 0)}
    both = [one.query_case for one in drawn if one.dataset == "phantoms"]
    assert len(set(both)) == 4


def test_every_class_is_shown_by_its_reference_and_masks_fit_their_image() -> None:
    episodes = make_episodes()
    in_query = []
    for step in range(60):
        one = episodes.draw(2, step, 1)
        assert one.image.shape == one.reference_image.shape == (32, 32, 32)
        counts = one.reference_masks.sum((1, 2, 3))
        assert (counts >= SMALL.min_voxels).all()
        in_query.append(one.target.any((1, 2, 3)).mean())
        for masks, image in (
            (one.target, one.image),
            (one.reference_masks, one.reference_image),
        ):
            for row, mask in zip(one.concept, masks, strict=True):
                if mask.sum() > 50:
                    inside, outside = image[mask].mean(), image[~mask].mean()
                    assert (inside > outside) == (row == 0)
    assert np.mean(in_query) > 0.6


def test_an_annotated_region_that_fits_is_whole_in_the_reference() -> None:
    plain = replace(SMALL.augment, turn=0.0)
    episodes = make_episodes(replace(SMALL, augment=plain))
    whole = {
        (one.info.name, volume.case_id, row): int((volume.labels == row + 1).sum())
        for one in (phantom_set(6), phantom_set(5, "more"))
        for volume in one.volumes
        for row in (0, 1)
    }
    alone = 0
    for step in range(40):
        one = episodes.draw(3, step, 0)
        if len(one.concept) == 1:
            alone += 1
            row = int(one.concept[0])
            expected = whole[one.dataset, one.reference_case, row]
            assert int(one.reference_masks[0].sum()) == expected
    assert alone > 5


def test_episodes_depend_on_their_counter_only() -> None:
    one, two = make_episodes(), make_episodes()
    two.draw(1, 99, 3)
    first, second = one.draw(1, 7, 2), two.draw(1, 7, 2)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.reference_masks, second.reference_masks)
    other = one.draw(1, 8, 2)
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


def test_validation_asks_val_by_train_and_never_changes() -> None:
    episodes = make_episodes(split="val")
    fixed = episodes.fixed(1, 3)
    assert len(fixed) == 6
    assert {one.query_case for one in fixed} == {"case4", "case3"}
    again = make_episodes(split="val").fixed(1, 3)
    for one, two in zip(fixed, again, strict=True):
        np.testing.assert_array_equal(one.image, two.image)
        assert one.reference_case == two.reference_case


def test_what_gives_no_episode_is_refused() -> None:
    alone = phantom_set(3)
    concepts, _ = table_of([alone.info])
    with pytest.raises(StoreError, match="two patients"):
        VolumeEpisodes([alone], concepts, SMALL)
    same = replace(
        phantom_set(6),
        volumes=tuple(replace(v, patient="one") for v in phantom_set(6).volumes),
    )
    with pytest.raises(StoreError, match="two patients"):
        VolumeEpisodes([same], concepts, SMALL)
    with pytest.raises(ConfigError, match="at least one class"):
        VolumeEpisodeConfig(most_classes=0)


def test_a_structure_lies_near_the_middle_or_anywhere_in_the_window() -> None:
    """Sliding windows cut structures anywhere, and a model must have seen it."""
    sure = replace(SMALL, side=16, foreground=1.0, augment=replace(SMALL.augment, turn=0.0))
    farthest = {}
    for centred in (1.0, 0.0):
        episodes = make_episodes(replace(sure, centred=centred))
        off = []
        for step in range(60):
            drawn = episodes.draw(4, step, 0)
            inside = np.argwhere(drawn.target.any(0))
            if len(inside):
                off.append(float(np.abs(inside.mean(0) - 7.5).max()))
        farthest[centred] = float(np.mean(off))
    assert farthest[0.0] > 1.3 * farthest[1.0]
    with pytest.raises(ConfigError, match=r"odds must lie in 0\.\.1"):
        replace(sure, centred=1.5)

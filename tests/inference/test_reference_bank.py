from __future__ import annotations

import itertools

import numpy as np
import pytest

from medprism.core.errors import LabelError, ReferencePairError
from medprism.core.image import Image
from medprism.inference.reference_bank import Provenance, Reference, ReferenceBank
from tests.inference.phantom import scene, volume


def _reference(seed: int, structure: str = "liver") -> Reference:
    image, masks = scene(seed)
    return Reference.from_pair(Image.from_array(image), masks[structure])


def test_a_mask_without_foreground_is_refused() -> None:
    image, masks = scene()
    with pytest.raises(ReferencePairError, match="no foreground.*leave this one out"):
        Reference.from_pair(Image.from_array(image), np.zeros_like(masks["liver"]))


def test_a_mask_of_another_size_is_refused() -> None:
    image, masks = scene()
    with pytest.raises(ReferencePairError, match=r"\(88, 123\) but its image \(88, 124\)"):
        Reference.from_pair(Image.from_array(image), masks["liver"][:, 1:])


def test_the_hash_tells_image_and_mask_apart_but_not_where_they_came_from() -> None:
    image, masks = scene()
    one = Reference.from_pair(Image.from_array(image), masks["liver"])
    same = Reference.from_pair(
        Image.from_array(image.copy()), masks["liver"].copy(), Provenance(is_commit=True)
    )
    assert one.digest == same.digest
    assert one.digest != _reference(0, "polyp").digest
    assert one.digest != _reference(1).digest


def test_the_same_mask_on_another_slice_is_another_reference() -> None:
    image = Image.from_array(np.zeros((3, 6, 8), np.uint8))
    masks = []
    for index in range(2):
        mask = np.zeros((3, 6, 8), bool)
        mask[index, 2:4, 3] = True
        masks.append(mask)
    first, second = (Reference.from_pair(image, mask) for mask in masks)
    assert first.digest != second.digest


def test_doubles_are_dropped_and_order_has_no_effect() -> None:
    references = [_reference(seed) for seed in range(3)]
    banks = [
        ReferenceBank().add("liver", *order, order[0])
        for order in itertools.permutations(references)
    ]
    expected = tuple(sorted(reference.digest for reference in references))
    for bank in banks:
        assert tuple(reference.digest for reference in bank.of("liver")) == expected


def test_a_bank_is_a_value() -> None:
    one, two = _reference(0), _reference(1)
    empty = ReferenceBank()
    first = empty.add("liver", one)
    second = first.add("liver", two).add("cyst", one)
    assert (len(empty), len(first), len(second)) == (0, 1, 3)
    assert second.labels == ("liver", "cyst")
    assert "liver" not in empty


def test_removing_the_last_reference_removes_the_label() -> None:
    one = _reference(0)
    bank = ReferenceBank().add("liver", one)
    assert bank.remove("liver", one.digest).labels == ()
    with pytest.raises(LabelError, match=f"it has {one.digest[:12]}"):
        bank.remove("liver", "0" * 64)
    with pytest.raises(LabelError, match="it has none"):
        bank.remove("cyst", one.digest)


def test_a_volume_shows_its_slices_with_foreground_spread_evenly() -> None:
    stack, masks = volume(5)
    polyp = Reference.from_pair(Image.from_array(stack), masks["polyp"])
    assert polyp.shown_slices() == (0, 1)
    liver = Reference.from_pair(Image.from_array(stack), masks["liver"])
    assert liver.shown_slices() == (0, 1, 2, 3, 4)
    assert liver.shown_slices(3) == (0, 2, 4)
    np.testing.assert_array_equal(liver.planes[3].unpack(), masks["liver"][3])

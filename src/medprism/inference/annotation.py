"""The state of one annotated image: values only, so that an earlier state is never lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from medprism.core.prompt import Interactions, Mask2d
from medprism.inference.packed_mask import PackedMask
from medprism.inference.reference_bank import ReferenceBank
from medprism.inference.zoom import Crop


@dataclass(frozen=True)
class CanvasMaps:
    """Where the probability of a result is kept: numbers in the map store.

    `coarse` is on the slice's canvas; `fine`, if the result was zoomed, on the canvas of a crop.
    """

    coarse: int
    fine: tuple[Crop, int] | None = None


@dataclass(frozen=True)
class Basis:
    """What a result was made from; an equal basis means that there is nothing new to predict."""

    concept: int | None
    references: tuple[str, ...]
    num_interactions: int


@dataclass(frozen=True)
class SliceResult:
    """What was found on one slice, on the image's own grid.

    `maps` is None only in a state read back from a file, whose probabilities must be rebuilt.
    `basis` is None where a person gave the mask.
    """

    mask: PackedMask
    presence: float
    maps: CanvasMaps | None
    basis: Basis | None


@dataclass(frozen=True)
class SliceState:
    """What was said and found about one label on one slice."""

    interactions: Interactions = Interactions()
    result: SliceResult | None = None


@dataclass(frozen=True)
class LabelState:
    """One label: a row of the class table if it was asked for by class, and its slices."""

    concept: int | None = None
    slices: Mapping[int, SliceState] = field(default_factory=dict)
    is_locked: bool = False

    def on(self, slice_index: int) -> SliceState:
        """Return the state of a slice; one that nobody touched is empty."""
        return self.slices.get(slice_index, SliceState())

    def with_slices(self, changed: Mapping[int, SliceState]) -> LabelState:
        """Return the label with some slices replaced."""
        return replace(self, slices={**self.slices, **changed})

    @property
    def presence(self) -> float:
        """Score in 0..1 that the structure is there: the highest of all slices; 0 if unasked."""
        found = [one.result.presence for one in self.slices.values() if one.result is not None]
        return max(found, default=0.0)

    @property
    def num_interactions(self) -> int:
        """Number of clicks, strokes and outlines on all slices."""
        return sum(len(one.interactions.items) for one in self.slices.values())


@dataclass(frozen=True)
class Annotation:
    """All labels of the image in the order they appeared, and the references of every label."""

    labels: Mapping[str, LabelState] = field(default_factory=dict)
    bank: ReferenceBank = field(default_factory=ReferenceBank)

    def with_label(self, name: str, state: LabelState) -> Annotation:
        """Return the annotation with one label replaced or added."""
        return replace(self, labels={**self.labels, name: state})

    def taken(self, label: str, slice_index: int) -> Mask2d | None:
        """Return the pixels of a slice that other, locked labels hold; None if there are none."""
        union: Mask2d | None = None
        for name, state in self.labels.items():
            result = state.on(slice_index).result
            if name == label or not state.is_locked or result is None or not result.mask:
                continue
            mask = result.mask.unpack()
            union = mask if union is None else union | mask
        return union

    def mask_on(self, label: str, slice_index: int) -> Mask2d | None:
        """Return a label's mask on a slice without what locked labels hold; None if empty."""
        state = self.labels[label]
        result = state.on(slice_index).result
        if result is None or not result.mask:
            return None
        mask = result.mask.unpack()
        taken = None if state.is_locked else self.taken(label, slice_index)
        return mask if taken is None else np.asarray(mask & ~taken)

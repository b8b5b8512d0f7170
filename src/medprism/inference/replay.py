"""Does a replayed prompt log give the masks that were seen? Comparison and verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from medprism.inference.annotation import Annotation
from medprism.inference.packed_mask import PackedMask
from medprism.metrics.dice import dice_of_counts
from medprism.metrics.overlap import Overlap, count_overlap

# Other weights, engine, threads or versions may move single pixels, not more.
LEAST_DICE: Final = 0.999


@dataclass(frozen=True)
class ReplayReport:
    """What a replay found, over all slices of each label.

    `is_identical`: every mask came back bit for bit. `is_faithful`: every Dice is at least 0.999.
    `notice` says in one sentence why the masks may differ; None where nothing differs.
    """

    dice: Mapping[str, float]
    is_identical: bool
    notice: str | None

    @property
    def is_faithful(self) -> bool:
        """Whether every mask came back with a Dice of at least 0.999."""
        return all(value >= LEAST_DICE for value in self.dice.values())


def compare(seen: Annotation, rebuilt: Annotation, *, same_origin: bool) -> ReplayReport:
    """Compare the masks of two annotations label by label."""
    dice, is_identical = {}, True
    for label in sorted(seen.labels.keys() | rebuilt.labels.keys()):
        here, there = _planes(seen, label), _planes(rebuilt, label)
        is_identical = is_identical and here == there
        dice[label] = _dice(here, there)
    return ReplayReport(dice, is_identical, _notice(dice, is_identical, same_origin=same_origin))


def _notice(dice: Mapping[str, float], is_identical: bool, *, same_origin: bool) -> str | None:
    if is_identical:
        return None
    worst = min(dice, key=lambda label: dice[label])
    found = f"the replay differs from the accepted masks (lowest Dice {dice[worst]:.4f}, {worst!r})"
    if same_origin:
        return f"{found} although model and versions are the same; the stored masks are kept"
    return f"{found} because model, engine, threads or versions differ; the stored masks are kept"


def _planes(annotation: Annotation, label: str) -> dict[int, PackedMask]:
    """Return the masks of a label on the slices where it has any."""
    if label not in annotation.labels:
        return {}
    slices = annotation.labels[label].slices
    shown = {index: annotation.mask_on(label, index) for index in slices}
    packed = {index: PackedMask.pack(mask) for index, mask in shown.items() if mask is not None}
    return {index: mask for index, mask in packed.items() if mask}


def _dice(here: Mapping[int, PackedMask], there: Mapping[int, PackedMask]) -> float:
    """Dice over all slices; two empty masks agree."""
    counts = [_overlap(here.get(index), there.get(index)) for index in here.keys() | there.keys()]
    return dice_of_counts(
        Overlap(
            mask=sum(one.mask for one in counts),
            reference=sum(one.reference for one in counts),
            common=sum(one.common for one in counts),
        )
    )


def _overlap(one: PackedMask | None, other: PackedMask | None) -> Overlap:
    if one is not None and other is not None:
        return count_overlap(one.unpack(), other.unpack())
    areas = [0 if mask is None else int(mask.unpack().sum()) for mask in (one, other)]
    return Overlap(mask=areas[0], reference=areas[1], common=0)

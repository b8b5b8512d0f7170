"""From the slices a person worked on to the rest of the volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from medprism.core.errors import PromptError
from medprism.core.image import Image, PlaneStack
from medprism.core.progress import Progress
from medprism.inference.annotation import LabelState
from medprism.inference.placement import place_slice
from medprism.inference.session import Session
from medprism.metrics.certainty import certainty

ProbabilityStack = Float32[np.ndarray, "slices height width"]


@dataclass(frozen=True)
class Propagation:
    """Where a structure was found, and how certain that is on each slice (0..1; sources 1).

    `first` and `last` bound the slices that hold it; `least_certain` is the slice to look at next.
    """

    sources: tuple[int, ...]
    first: int
    last: int
    confidence: tuple[float, ...]
    least_certain: int


def propagate(
    session: Session,
    scratch: Session,
    label: str,
    sources: Sequence[int] = (),
    progress: Progress | None = None,
) -> Propagation:
    """Carry a label from its source slices to all others, as one step of undo.

    The source slices with their masks are examples, and the other slices of the same volume are
    segmented in-context. Outwards from the sources, and between them, the structure ends at the
    first slice on which nothing is found; what is found beyond is dropped. Source slices stay as
    they are. Without `sources` those are taken that a person marked, drew or accepted.

    Args:
        session: the session of the volume; it is changed once, at the very end.
        scratch: another session of the same model, whose image and references are replaced.
        label: a label of the session that is not locked.
        sources: slices whose masks are good.
        progress: told about every block of slices; cancelling changes nothing.

    Raises:
        PromptError: a picture, or no source slice with a mask.
        LabelError: the label is unknown or locked, or the model takes no references.
        CancelledError: the progress asked to stop.
    """
    image = session.image
    if image is None or image.num_slices == 1:
        raise PromptError("only volumes can be propagated through; this image has one slice")
    known = image.to_stack(session.mask(label))
    chosen = _sources(session.annotation.labels.get(label), image, known, sources)
    shown = np.zeros_like(known)
    shown[list(chosen)] = known[list(chosen)]
    scratch.set_image(image)
    scratch.set_references([image], [image.from_stack(shown)], label)
    scratch.predict(labels=[label], progress=progress)
    probability = scratch.probability(label)
    found = _connected(image.to_stack(scratch.mask(label)), known, chosen)
    session.add_initial_seg_interaction(image.from_stack(found), label)
    return _report(found, probability, chosen)


def _sources(
    state: LabelState | None, image: Image, known: PlaneStack, given: Sequence[int]
) -> tuple[int, ...]:
    if given:
        wanted = {place_slice(image, index) for index in given}
    elif state is not None:
        worked = {index for index, one in state.slices.items() if one.interactions}
        drawn = {
            index
            for index, one in state.slices.items()
            if one.result is not None and one.result.basis is None
        }
        wanted = worked | drawn
    else:
        wanted = set()
    chosen = tuple(index for index in sorted(wanted) if known[index].any())
    if not chosen:
        raise PromptError(
            "there is no slice to start from: click or draw on at least one slice until its mask "
            "is good, then propagate"
        )
    return chosen


def _connected(found: PlaneStack, known: PlaneStack, sources: Sequence[int]) -> PlaneStack:
    """Keep what is reached from the sources without a gap, and the sources as they were."""
    kept = np.zeros_like(found)
    for source in sources:
        kept[source] = known[source]
        for step in (-1, 1):
            at = source + step
            while 0 <= at < len(found) and at not in sources and found[at].any():
                kept[at] = found[at]
                at += step
    return kept


def _report(
    found: PlaneStack, probability: ProbabilityStack, sources: tuple[int, ...]
) -> Propagation:
    confidence = tuple(
        1.0 if index in sources else round(certainty(probability[index], found[index]), 6)
        for index in range(len(found))
    )
    inside = np.flatnonzero(found.any((1, 2)))
    first, last = int(inside[0]), int(inside[-1])
    # One slice beyond either end: that is where the stop rule may have been wrong.
    near = range(max(0, first - 1), min(len(found), last + 2))
    least = min(near, key=lambda index: (confidence[index], index))
    return Propagation(sources, first, last, confidence, least)

"""From the slices a person worked on to the rest of the volume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np

from medprism.core.errors import LabelError, PromptError
from medprism.core.image import Image, PlaneStack
from medprism.core.progress import Progress, SilentProgress
from medprism.core.prompt import Interactions, Mask2d
from medprism.inference.annotation import Annotation, LabelState
from medprism.inference.map_store import MapStore
from medprism.inference.packed_mask import PackedMask
from medprism.inference.placement import place_slice
from medprism.inference.prediction import Ask, Predictor
from medprism.inference.reference_bank import MAX_SLICES, Provenance, Reference
from medprism.inference.session import Session
from medprism.inference.target import refuse_locked
from medprism.inference.workspace import Bench
from medprism.metrics.certainty import certainty

BACK_AND_FORTH: Final = (-1, 1)


@dataclass(frozen=True)
class Propagation:
    """Where a structure was found, and how certain that is on each slice (0..1; sources 1).

    `first` and `last` bound the slices that hold it; `least_certain` is the slice to look at next.
    Slices beyond the ends were not looked at; they have the confidence of the end.
    """

    sources: tuple[int, ...]
    first: int
    last: int
    confidence: tuple[float, ...]
    least_certain: int


def propagate(
    session: Session,
    label: str,
    sources: Sequence[int] = (),
    progress: Progress | None = None,
    *,
    through_found: bool = False,
) -> Propagation:
    """Carry a label from its source slices to all others, as one step of undo.

    Nearest first, in both directions: the examples of a slice are the sources nearest to it.
    Outwards from the sources, and between them, the structure ends at the first slice on which
    nothing is found. Source slices stay as they are. Without `sources` those are taken that a
    person marked, drew or accepted.

    Args:
        session: the session of the volume; it is changed once, at the very end, and may be used
            meanwhile.
        label: a label of the session that is not locked.
        sources: slices whose masks are good.
        progress: told about every slice; cancelling changes nothing.
        through_found: what was found on the neighbour is an example as well. That follows what
            changes from slice to slice, and so do errors (`python -m benchmarks.volumes`).

    Raises:
        PromptError: a picture, or no source slice with a mask.
        LabelError: the label is unknown or locked, or the model takes no references.
        CancelledError: the progress asked to stop.
    """
    image = session.image
    if image is None or image.num_slices == 1:
        raise PromptError("only volumes can be propagated through; this image has one slice")
    known, annotation = image.to_stack(session.mask(label)), session.annotation
    chosen = _sources(annotation.labels.get(label), image, known, sources)
    _refuse(session, label)
    masks = {at: known[at] for at in chosen}
    walk = _Walk(session.bench, image, annotation, label, masks, through_found)
    walk.run(progress or SilentProgress())
    session.add_initial_seg_interaction(image.from_stack(walk.found), label)
    return _report(walk, chosen)


def _refuse(session: Session, label: str) -> None:
    refuse_locked(session.annotation, label)
    if not session.model.segmenter.accepts.references:
        raise LabelError(
            f"model {session.model.name!r} takes no references, so it cannot carry a mask to other "
            "slices; load another model"
        )


@dataclass(frozen=True)
class _Quiet:
    """Says nothing, but knows whether to stop."""

    progress: Progress

    def report(self, done: int, total: int, message: str = "") -> None:
        """Say nothing: a slice is a step of a longer way."""

    def is_cancelled(self) -> bool:
        """Return whether to stop."""
        return self.progress.is_cancelled()


@dataclass
class _Walk:
    """All slices that were reached: what was found there, and how certain that is."""

    bench: Bench
    image: Image
    annotation: Annotation
    label: str
    sources: Mapping[int, Mask2d]
    through_found: bool
    found: PlaneStack = field(init=False)
    confidence: dict[int, float] = field(init=False)

    def __post_init__(self) -> None:
        self.found = np.zeros(self.image.geometry.shape, dtype=bool)
        for at, mask in self.sources.items():
            self.found[at] = mask
        self.confidence = dict.fromkeys(self.sources, 1.0)
        self._examples = {at: _example(self.image, at, mask) for at, mask in self.sources.items()}
        self._store = MapStore(spills=False)
        self._predictor = Predictor(
            self.bench.model.segmenter, self.bench.encoder, self.image, self._store, self.bench.zoom
        )

    def run(self, progress: Progress) -> None:
        """Go outwards from all sources, a slice at a time, until nothing is found any more."""
        ends = [(at + step, step, at) for at in self.sources for step in BACK_AND_FORTH]
        while ends := [end for end in ends if self._is_open(end[0])]:
            progress.report(len(self.confidence), len(self.found), "propagating")
            before = {at: [end[2] for end in ends if end[0] == at] for at, _, _ in ends}
            self._look(before, progress)
            ends = [(at + step, step, at) for at, step, _ in ends if self.found[at].any()]
        progress.report(len(self.found), len(self.found), "propagating")

    def _is_open(self, at: int) -> bool:
        return 0 <= at < len(self.found) and at not in self.confidence

    def _look(self, before: Mapping[int, Sequence[int]], progress: Progress) -> None:
        """Segment slices, each by the neighbours it was reached from."""
        asks = [self._ask(at, neighbours) for at, neighbours in before.items()]
        results = self._predictor.predict(asks, _Quiet(progress))
        for ask in asks:
            at, result = ask.slice_index, results[self.label, ask.slice_index]
            probability = self._predictor.probability(result.maps)  # type: ignore[arg-type]
            mask = result.mask.unpack()
            self.confidence[at] = round(certainty(probability, mask), 6)
            self.found[at] = mask if ask.taken is None else mask & ~ask.taken

    def _ask(self, at: int, neighbours: Sequence[int]) -> Ask:
        examples = {}
        if self.through_found:
            examples = {one: self._example_on(one) for one in neighbours}
        for one in sorted(self.sources, key=lambda source: (abs(source - at), source)):
            if len(examples) < MAX_SLICES:
                examples[one] = self._examples[one]
        return Ask(
            label=self.label,
            slice_index=at,
            concept=None,
            references=tuple((example, (one,)) for one, example in sorted(examples.items())),
            interactions=Interactions(),
            previous=None,
            taken=self.annotation.taken(self.label, at),
        )

    def _example_on(self, at: int) -> Reference:
        if at in self.sources:
            return self._examples[at]
        return _example(self.image, at, self.found[at])


def _example(image: Image, at: int, mask: Mask2d) -> Reference:
    return Reference(image, MappingProxyType({at: PackedMask.pack(mask)}), Provenance())


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


def _report(walk: _Walk, sources: tuple[int, ...]) -> Propagation:
    confidence = tuple(_filled(walk.confidence, len(walk.found)))
    inside = np.flatnonzero(walk.found.any((1, 2)))
    first, last = int(inside[0]), int(inside[-1])
    # One slice beyond either end: that is where the stop rule may have been wrong.
    near = range(max(0, first - 1), min(len(walk.found), last + 2))
    least = min(near, key=lambda index: (confidence[index], index))
    return Propagation(sources, first, last, confidence, least)


def _filled(known: Mapping[int, float], count: int) -> Iterator[float]:
    """Yield the value of the nearest known slice for each; the lower one of two."""
    for index in range(count):
        yield known[min(known, key=lambda at: (abs(at - index), at))]

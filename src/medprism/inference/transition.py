"""One action turns one annotation into the next: the same code live, on loading and in replay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from medprism.core.concepts import ConceptTable
from medprism.core.errors import FormatVersionError, LabelError
from medprism.core.image import Image
from medprism.core.progress import Progress, SilentProgress
from medprism.core.prompt import check_interaction
from medprism.inference.action import (
    Action,
    Commit,
    GiveMask,
    Interact,
    Lock,
    Predict,
    Reset,
    UseReferences,
)
from medprism.inference.annotation import Annotation, LabelState, SliceResult, SliceState
from medprism.inference.packed_mask import PackedMask
from medprism.inference.prediction import Ask
from medprism.inference.reference_bank import Reference
from medprism.models.segmenter import Accepts


@runtime_checkable
class Answers(Protocol):
    """Who makes results; a `Predictor` asks the model."""

    def predict(
        self, asks: Sequence[Ask], progress: Progress
    ) -> dict[tuple[str, int], SliceResult]:
        """Return the result of each (label, slice)."""

    def given(self, mask: PackedMask) -> SliceResult:
        """Return the result that a person's own mask is."""


class NoAnswers:
    """Stands in for the model where only what was said is wanted, not what was found."""

    def predict(
        self, asks: Sequence[Ask], progress: Progress
    ) -> dict[tuple[str, int], SliceResult]:
        """Find nothing."""
        return {}

    def given(self, mask: PackedMask) -> SliceResult:
        """Return the mask without a probability."""
        return SliceResult(mask, float(bool(mask)), None, None)


class Transition:
    """Applies actions to annotations of one image; it has no state of its own.

    `library` holds every reference that an action may name by its hash.
    """

    def __init__(
        self,
        concepts: ConceptTable,
        accepts: Accepts,
        library: Mapping[str, Reference],
        image: Image,
        answers: Answers,
    ) -> None:
        self._concepts = concepts
        self._accepts = accepts
        self._library = library
        self._image = image
        self._answers = answers

    def apply(
        self, before: Annotation, action: Action, progress: Progress | None = None
    ) -> Annotation:
        """Return the annotation after an action.

        Raises:
            PromptError: a mark outside the image.
            LabelError: a class the model does not know.
            CancelledError: the progress asked to stop.
        """
        match action:
            case UseReferences():
                return self._use_references(before, action)
            case Interact():
                return self._interact(before, action)
            case GiveMask():
                return self._give_mask(before, action)
            case Predict():
                return self._predict(before, action, progress or SilentProgress())
            case Commit():
                return self._commit(before, action)
            case Lock(label=label, is_locked=is_locked):
                return _freeze(before, label) if is_locked else _unlock(before, label)
            case Reset():
                kept = {name: one for name, one in before.labels.items() if one.is_locked}
                return replace(before, labels=kept)

    def examples(
        self, annotation: Annotation, label: str, slice_index: int
    ) -> tuple[tuple[Reference, tuple[int, ...]], ...]:
        """Return the references of a label, with their slices, that may serve on a slice.

        A mask accepted on this very slice is no example for it: it would only repeat itself.
        """
        if not self._accepts.references:
            return ()
        pairs = []
        for reference in annotation.bank.of(label):
            shown = reference.shown_slices()
            if reference.provenance.is_commit and reference.image.digest == self._image.digest:
                shown = tuple(index for index in shown if index != slice_index)
            if shown:
                pairs.append((reference, shown))
        return tuple(pairs)

    def _use_references(self, before: Annotation, action: UseReferences) -> Annotation:
        references = tuple(self._reference(digest) for digest in action.digests)
        after = replace(before, bank=before.bank.with_label(action.label, references))
        state = after.labels.get(action.label)
        # The latest word on what to look for wins over a class asked for earlier.
        if state is not None and references:
            after = after.with_label(action.label, replace(state, concept=None))
        return after

    def _interact(self, before: Annotation, action: Interact) -> Annotation:
        state = before.labels.get(action.label, LabelState())
        for slice_index, mark in action.marks:
            check_interaction(mark, self._image.geometry.shape[1:])
            old = state.on(slice_index)
            added = replace(old, interactions=old.interactions.with_added(mark))
            state = state.with_slices({slice_index: added})
        after = before.with_label(action.label, state)
        if not action.predicts:
            return after
        touched = sorted({slice_index for slice_index, _ in action.marks})
        return self._ask(after, {action.label: touched}, SilentProgress())

    def _give_mask(self, before: Annotation, action: GiveMask) -> Annotation:
        state = before.labels.get(action.label, LabelState())
        changed = {
            index: replace(state.on(index), result=self._answers.given(mask))
            for index, mask in action.planes
        }
        return before.with_label(action.label, state.with_slices(changed))

    def _predict(self, before: Annotation, action: Predict, progress: Progress) -> Annotation:
        after = before
        wanted: dict[str, Iterable[int]] = {}
        for target in action.targets:
            state = after.labels.get(target.label, LabelState())
            if target.concept is not None:
                state = replace(state, concept=self._concepts.row(target.concept))
            elif target.label in after.bank and self._accepts.references:
                state = replace(state, concept=None)
            after = after.with_label(target.label, state)
            wanted[target.label] = range(self._image.num_slices)
        return self._ask(after, wanted, progress)

    def _ask(
        self, before: Annotation, wanted: Mapping[str, Iterable[int]], progress: Progress
    ) -> Annotation:
        """Predict labels on slices, where there is anything to ask with and anything new."""
        asks = [
            ask
            for label, slices in wanted.items()
            for slice_index in slices
            if (ask := self._question(before, label, slice_index)) is not None
        ]
        changed: dict[str, dict[int, SliceState]] = {}
        for (label, slice_index), result in self._answers.predict(asks, progress).items():
            old = before.labels[label].on(slice_index)
            changed.setdefault(label, {})[slice_index] = replace(old, result=result)
        after = before
        for label, slices in changed.items():
            after = after.with_label(label, after.labels[label].with_slices(slices))
        return after

    def _question(self, before: Annotation, label: str, slice_index: int) -> Ask | None:
        state = before.labels[label]
        on_slice = state.on(slice_index)
        examples: tuple[tuple[Reference, tuple[int, ...]], ...] = ()
        if state.concept is None:
            examples = self.examples(before, label, slice_index)
        ask = Ask(
            label=label,
            slice_index=slice_index,
            concept=state.concept,
            references=examples,
            interactions=on_slice.interactions,
            previous=on_slice.result,
            taken=before.taken(label, slice_index),
        )
        if not ask.has_knowledge and not ask.interactions:
            return None
        is_answered = on_slice.result is not None and on_slice.result.basis == ask.basis
        return None if is_answered else ask

    def _commit(self, before: Annotation, action: Commit) -> Annotation:
        """Lock the accepted mask itself, not what a replay would make of the clicks."""
        accepted = self._reference(action.digest)
        state = _existing(before, action.label)
        empty = PackedMask(self._image.geometry.shape[1:], None, b"")
        changed: dict[int, SliceState] = {}
        for index in sorted(state.slices.keys() | accepted.planes.keys()):
            old = state.on(index)
            mask = accepted.planes.get(index, empty)
            result = old.result
            if result is not None:
                result = replace(result, mask=mask)
            elif mask:
                result = self._answers.given(mask)
            changed[index] = replace(old, result=result)
        locked = replace(state.with_slices(changed), is_locked=True)
        after = before.with_label(action.label, locked)
        return replace(after, bank=after.bank.add(action.label, accepted))

    def _reference(self, digest: str) -> Reference:
        if digest not in self._library:
            raise FormatVersionError(
                f"reference {digest[:12]} of the prompt log is not in the work file; "
                "the file is damaged, restore it from a copy"
            )
        return self._library[digest]


def _freeze(before: Annotation, label: str) -> Annotation:
    """Lock a label with the mask it shows now, so without what other locked labels hold."""
    state = _existing(before, label)
    changed: dict[int, SliceState] = {}
    for index, old in state.slices.items():
        shown = before.mask_on(label, index)
        if old.result is not None and shown is not None:
            frozen: SliceResult = replace(old.result, mask=PackedMask.pack(np.asarray(shown)))
            changed[index] = replace(old, result=frozen)
    return before.with_label(label, replace(state.with_slices(changed), is_locked=True))


def _unlock(before: Annotation, label: str) -> Annotation:
    return before.with_label(label, replace(_existing(before, label), is_locked=False))


def _existing(annotation: Annotation, label: str) -> LabelState:
    if label not in annotation.labels:
        known = ", ".join(annotation.labels) or "none"
        raise LabelError(f"no label {label!r} on this image; there is {known}")
    return annotation.labels[label]

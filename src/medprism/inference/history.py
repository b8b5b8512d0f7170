"""The annotation after every event of a prompt log, made when it is asked for."""

from __future__ import annotations

from dataclasses import replace

from medprism.core.errors import ConflictError, InternalError
from medprism.core.progress import Progress, SilentProgress
from medprism.inference.action import Action
from medprism.inference.annotation import Annotation, SliceState
from medprism.inference.prompt_log import Event, PromptLog
from medprism.inference.transition import Transition

# Annotations by the sequence number of the event they follow; None is before the first.
States = dict[int | None, Annotation]


class History:
    """A prompt log with the annotations it leads to.

    What happens live is kept, so undo and redo cost nothing. A log read from a file holds actions
    only: its present masks are known from the file for reading (`view`); the rest is rebuilt by
    applying the actions once something is to be computed from it (`current`).
    """

    def __init__(self, transition: Transition, root: Annotation, log: PromptLog) -> None:
        self._transition = transition
        self._log = log
        self._made: States = {None: root}
        self._read: States = {}

    @property
    def log(self) -> PromptLog:
        """The prompt log."""
        return self._log

    @property
    def root(self) -> Annotation:
        """The annotation before the first event."""
        return self._made[None]

    def adopt(self, annotation: Annotation) -> None:
        """Take an annotation read from a file as the one after the event the log stands at."""
        self._read[self._log.pointer] = annotation

    def view(self) -> Annotation:
        """Return the present annotation for reading masks; nothing is rebuilt if avoidable."""
        pointer = self._log.pointer
        if pointer not in self._made and pointer in self._read:
            return self._read[pointer]
        return self.current()

    def current(self) -> Annotation:
        """Return the present annotation with everything that further work builds on."""
        return self._walk(self._made, self._read, SilentProgress())

    def do(self, event: Event, progress: Progress) -> Annotation:
        """Apply an event and append it; on any error the history is left as it was."""
        if event.parent != self._log.pointer:
            raise InternalError(f"event {event.seq} does not continue the history")
        after = self.foresee(self.current(), event.action, progress)
        self.keep(event, after)
        return after

    def foresee(self, before: Annotation, action: Action, progress: Progress) -> Annotation:
        """Return what an action would make of an annotation; the history stays as it is."""
        return self._transition.apply(before, action, progress)

    def keep(self, event: Event, after: Annotation) -> None:
        """Append an event whose outcome is known.

        Raises:
            ConflictError: something else was done since the event was thought of.
        """
        if event.parent != self._log.pointer or event.seq != len(self._log):
            raise ConflictError(
                "the masks were changed while this was calculated; ask for it once more"
            )
        self._log.append(event)
        self._made[event.seq] = after

    def replay(self, progress: Progress) -> Annotation:
        """Return the present annotation made anew from the start; the kept ones stay."""
        return self._walk({None: self.root}, {}, progress)

    def _walk(self, made: States, read: States, progress: Progress) -> Annotation:
        """Return the annotation at the pointer, applying what lies after the last one made."""
        missing: list[Event] = []
        at = self._log.pointer
        while at not in made and at is not None:
            missing.append(self._log.events[at])
            at = missing[-1].parent
        annotation = made[at]
        for event in reversed(missing):
            annotation = self._transition.apply(annotation, event.action, progress)
            if event.seq in read:
                annotation = with_masks_of(read[event.seq], annotation)
            made[event.seq] = annotation
        return annotation


def with_masks_of(seen: Annotation, rebuilt: Annotation) -> Annotation:
    """Return the rebuilt annotation with the masks and scores that were seen and stored.

    They are the same where model and versions are; elsewhere a mask that a person has seen must
    not move because a program was updated.
    """
    after = rebuilt
    for name, state in rebuilt.labels.items():
        changed: dict[int, SliceState] = {}
        for index, old in state.slices.items():
            stored = seen.labels[name].on(index).result if name in seen.labels else None
            if old.result is not None and stored is not None:
                exact = replace(old.result, mask=stored.mask, presence=stored.presence)
                changed[index] = replace(old, result=exact)
        after = after.with_label(name, state.with_slices(changed))
    return after

"""Workspace: one image on the table, with its history; what `Session` does is done here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from jaxtyping import Bool, Float32

from medprism.core.errors import ConfigError, LabelError, ReferencePairError
from medprism.core.image import Image
from medprism.core.progress import Progress, SilentProgress
from medprism.engines.loaded import LoadedModel
from medprism.inference.action import Action, Commit, Predict, UseReferences, label_of
from medprism.inference.annotation import Annotation, SliceState
from medprism.inference.encoder import Encoder
from medprism.inference.history import History
from medprism.inference.map_store import MapStore
from medprism.inference.memory import Memory
from medprism.inference.prediction import Predictor, agree
from medprism.inference.prompt_log import Event, Origin, PromptLog
from medprism.inference.reference_bank import Provenance, Reference, ReferenceBank
from medprism.inference.replay import ReplayReport, compare
from medprism.inference.transition import NoAnswers, Transition
from medprism.inference.work_file import Results, Work, results_of
from medprism.inference.zoom import ZoomSettings


@dataclass(frozen=True, eq=False)
class Bench:
    """What a workspace works with: the model, its encoder, zoom (None: off), who annotates.

    `memory` says how many probability maps are held, and whether the others wait on disk. Threads
    may share it.

    Raises:
        ConfigError: a model of volumes.
    """

    model: LoadedModel
    encoder: Encoder
    zoom: ZoomSettings | None
    author: str
    memory: Memory = field(default_factory=Memory.of)

    def __post_init__(self) -> None:
        dimensions = self.model.segmenter.spatial_dims
        if dimensions != 2:
            raise ConfigError(
                f"model {self.model.name!r} works in {dimensions} dimensions, a session drives "
                "models of slices (2); load another model"
            )


class Foreseen:
    """An action that is computed beside the work and kept if nothing else was done meanwhile."""

    def __init__(self, history: History, event: Event, before: Annotation) -> None:
        self._history, self._event, self._before = history, event, before

    def compute(self, progress: Progress) -> Annotation:
        """Return what comes out; nothing is changed.

        Raises:
            CancelledError: the progress asked to stop.
        """
        return self._history.foresee(self._before, self._event.action, progress)

    def keep(self, after: Annotation) -> None:
        """Make it the latest step.

        Raises:
            ConflictError: something else was done meanwhile.
        """
        self._history.keep(self._event, after)


class Workspace:
    """The image, the references its log may name, and the history of what was done."""

    def __init__(
        self,
        bench: Bench,
        image: Image,
        root: ReferenceBank,
        library: dict[str, Reference] | None = None,
        log: PromptLog | None = None,
    ) -> None:
        self.image = image
        self._bench = bench
        self._library = {one.digest: one for label in root.labels for one in root.of(label)}
        self._library.update(library or {})
        self._store = MapStore(bench.memory.map_bytes, spills=bench.memory.keeps_maps)
        self._predictor = Predictor(
            bench.model.segmenter, bench.encoder, image, self._store, bench.zoom
        )
        self._root = root
        self._log = log or PromptLog()
        transition = Transition(
            bench.model.concepts,
            bench.model.segmenter.accepts,
            self._library,
            image,
            self._predictor,
        )
        self._history = History(transition, Annotation(bank=root), self._log)

    @classmethod
    def from_work(cls, bench: Bench, work: Work) -> Workspace:
        """Lay out what a work file holds.

        Raises:
            LabelError: the model lacks a class that was asked for.
        """
        workspace = cls(bench, work.image, work.root, dict(work.library), work.log)
        try:
            workspace._history.adopt(workspace._read_back(work.results))
        except LabelError as error:
            raise LabelError(
                f"work made with model {work.model_name!r} cannot go on with "
                f"{bench.model.name!r}: {error}"
            ) from error
        return workspace

    @property
    def log(self) -> PromptLog:
        """The prompt log."""
        return self._log

    @property
    def view(self) -> Annotation:
        """The present annotation, for reading."""
        return self._history.view()

    @property
    def has_same_origin(self) -> bool:
        """Whether all that leads here was computed as this process would compute it."""
        origin = Origin.of(self._bench.model)
        return all(event.origin == origin for event in self._log.path())

    def keep(self, *references: Reference) -> tuple[str, ...]:
        """Put references where actions can name them, and return their hashes."""
        for reference in references:
            self._library.setdefault(reference.digest, reference)
        return tuple(reference.digest for reference in references)

    def do(self, action: Action, progress: Progress | None = None) -> None:
        """Apply an action and log it; on any error nothing has happened."""
        self._history.do(self._event(action), progress or SilentProgress())

    def foresee(self, action: Action) -> Foreseen:
        """Return what an action begins with, to be computed while others read."""
        return Foreseen(self._history, self._event(action), self._history.current())

    def _event(self, action: Action) -> Event:
        return Event(
            seq=len(self._log),
            parent=self._log.pointer,
            action=action,
            image=self.image.digest,
            references=self._references_in_use(action),
            origin=Origin.of(self._bench.model),
            author=self._bench.author,
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )

    def accept(self, label: str) -> Reference:
        """Return a label's present mask as a reference.

        Raises:
            ReferencePairError: the mask is empty.
        """
        mask = self.mask(label)
        if not mask.any():
            raise ReferencePairError(
                f"label {label!r} has an empty mask, which is no example of it; segment it first, "
                "or lock it to say that it is absent"
            )
        told = Provenance(
            is_commit=True,
            source=None if self.image.source is None else str(self.image.source),
            author=self._bench.author,
        )
        return Reference.from_pair(self.image, mask, told)

    def mask(self, label: str) -> Bool[np.ndarray, "..."]:
        """Return a label's mask in the shape of the image."""
        annotation = self.view
        stack = np.zeros(self.image.geometry.shape, dtype=bool)
        for index in annotation.labels[label].slices:
            shown = annotation.mask_on(label, index)
            if shown is not None:
                stack[index] = shown
        return np.asarray(self.image.from_stack(stack))

    def probability(self, label: str) -> Float32[np.ndarray, "..."]:
        """Return a label's probability in the shape of the image; 0 where nobody asked."""
        annotation = self._history.current()
        stack = np.zeros(self.image.geometry.shape, dtype=np.float32)
        for index in annotation.labels[label].slices:
            result = annotation.labels[label].on(index).result
            if result is None or result.maps is None:
                continue
            shown = annotation.mask_on(label, index)
            if shown is None:
                shown = np.zeros(stack.shape[1:], dtype=bool)
            stack[index] = agree(self._predictor.probability(result.maps), shown)
        return np.asarray(self.image.from_stack(stack))

    def replay(self, progress: Progress) -> ReplayReport:
        """Rebuild the present masks from the log, encodings included, and compare."""
        self._bench.encoder.forget()
        rebuilt = self._history.replay(progress)
        return compare(self.view, rebuilt, same_origin=self.has_same_origin)

    def to_work(self) -> Work:
        """Return what a work file must hold."""
        return Work(
            model_name=self._bench.model.name,
            long_side=self._bench.model.long_side,
            zoom=self._bench.zoom,
            image=self.image,
            library=self._library,
            root=self._root,
            log=self._log,
            results=results_of(self.view),
        )

    def close(self) -> None:
        """Release the maps; the workspace must not be used afterwards."""
        self._store.close()

    def _references_in_use(self, action: Action) -> tuple[str, ...]:
        match action:
            case UseReferences(digests=digests):
                return digests
            case Commit(digest=digest):
                return (digest,)
            case Predict(targets=targets):
                labels = sorted(target.label for target in targets)
            case _:
                about = label_of(action)
                labels = [] if about is None else [about]
        bank = self.view.bank
        return tuple(sorted({one.digest for label in labels for one in bank.of(label)}))

    def _read_back(self, results: Results) -> Annotation:
        """Return the present annotation: what was said by the log, what was found by the file."""
        said = Transition(
            self._bench.model.concepts,
            self._bench.model.segmenter.accepts,
            self._library,
            self.image,
            NoAnswers(),
        )
        annotation = self._history.root
        for event in self._log.path():
            annotation = said.apply(annotation, event.action)
        for label, slices in results.items():
            if label not in annotation.labels:
                continue
            state = annotation.labels[label]
            changed = {
                index: SliceState(state.on(index).interactions, result)
                for index, result in slices.items()
            }
            annotation = annotation.with_label(label, state.with_slices(changed))
        return annotation

"""Session: one annotated image, with everything that was said about it and found on it.

All positions, masks and probabilities lie on the image's own grid: (row, col) and (height, width)
for a picture, (slice, row, col) and (slices, height, width) for a volume. Names follow
nnInteractive's session. A session may be shared by threads: one call runs at a time.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32

from medprism.core.errors import PromptError, ReferencePairError
from medprism.core.image import Image
from medprism.core.labels import LabelMap, Labels
from medprism.core.progress import Progress, SilentProgress
from medprism.core.prompt import Interactions, Lasso, Scribble
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import load
from medprism.inference import action
from medprism.inference.annotation import Annotation
from medprism.inference.authorship import describe_algorithm
from medprism.inference.encoder import Encoder
from medprism.inference.encoding_cache import BUDGET_BYTES
from medprism.inference.image_record import EMBED_BYTES
from medprism.inference.memory import Memory
from medprism.inference.packed_mask import PackedMask
from medprism.inference.placement import (
    Given,
    check_label,
    check_names,
    check_sign,
    on_slice,
    place_box,
    place_click,
    place_drawing,
    place_mask_like,
    place_slice,
)
from medprism.inference.prediction import Prediction
from medprism.inference.prompt_log import PromptLog
from medprism.inference.reference_bank import Reference, ReferenceBank
from medprism.inference.reference_input import to_image, to_reference, to_references
from medprism.inference.replay import ReplayReport
from medprism.inference.taking_turns import one_at_a_time
from medprism.inference.target import find_label, find_targets, refuse_locked
from medprism.inference.work_file import read_work, write_work
from medprism.inference.workspace import Bench, Workspace
from medprism.inference.zoom import ZoomSettings
from medprism.io.deidentify import Deidentifier
from medprism.io.writer import write_mask

DEFAULT_LABEL: Final = "structure"
Mask = Bool[np.ndarray, "..."]


class Session:
    """Segment one image by class, by examples and by interaction, with undo without limit."""

    def __init__(
        self,
        model: LoadedModel,
        *,
        auto_zoom: bool = True,
        cache_bytes: int = BUDGET_BYTES,
        author: str = "",
        memory: Memory | None = None,
    ) -> None:
        memory = memory or Memory.of(cache_bytes)
        zoom = ZoomSettings() if auto_zoom else None
        self.bench = Bench(model, Encoder(model, memory.cache), zoom, author, memory)
        self._lock = threading.RLock()
        self._bank = ReferenceBank()
        self._workspace: Workspace | None = None
        self._notice: str | None = None

    @one_at_a_time
    def set_image(self, image: Given) -> None:
        """Open an image: a path, an array (copied) or an `Image`; references are kept.

        Raises:
            ImageReadError: it cannot be read as an image; the former one stays open.
        """
        opened = to_image(image)
        bank = self.references
        if self._workspace is not None:
            self._workspace.close()
        self._workspace = Workspace(self.bench, opened, bank)
        self._notice = None

    @one_at_a_time
    def set_references(
        self,
        images: Given,
        masks: Given,
        label: str = DEFAULT_LABEL,
        *,
        resample: bool = False,
    ) -> None:
        """Make these pairs the examples of a label, in place of former ones.

        With `resample` mask files on other grids are brought onto those of their images.

        Raises:
            ReferencePairError: a mask of another size than its image or without foreground, or
                not as many masks as images.
        """
        name, author = check_label(label), self.bench.author
        pairs = to_references(images, masks, name, author, resample=resample)
        self._use_references(name, pairs)

    @one_at_a_time
    def add_reference(
        self, image: Given, mask: Given, label: str = DEFAULT_LABEL, *, resample: bool = False
    ) -> None:
        """Add one example of a label; one that is there already changes nothing."""
        name = check_label(label)
        added = to_reference(image, mask, name, self.bench.author, resample=resample)
        self._use_references(name, (*self.references.of(name), added))

    @one_at_a_time
    def remove_reference(self, label: str, digest: str) -> None:
        """Take one example of a label away, by its hash."""
        name = check_label(label)
        self._use_references(name, self.references.remove(name, digest).of(name))

    @one_at_a_time
    def add_point_interaction(
        self,
        coordinates: Given,
        include_interaction: bool | np.bool_,
        label: str = DEFAULT_LABEL,
        *,
        world: bool = False,
        run_prediction: bool = True,
    ) -> Mask:
        """Click at (row, col) or (slice, row, col), or with `world` at a position in mm (RAS+).

        Returns the label's mask. Fractions go to the nearest voxel.

        Raises:
            PromptError: not a position, outside the image, or a model without clicks.
            LabelError: the label is locked or its name cannot be used.
        """
        is_positive = check_sign(include_interaction)
        mark = place_click(self._open().image, coordinates, is_positive=is_positive, world=world)
        return self._interact(label, (mark,), run_prediction)

    @one_at_a_time
    def add_bbox_interaction(
        self,
        bbox_coords: Given,
        include_interaction: bool | np.bool_,
        label: str = DEFAULT_LABEL,
        *,
        run_prediction: bool = True,
    ) -> Mask:
        """Draw a box [[r0, r1], [c0, c1]], half open; volumes put [s, s + 1] in front.

        A positive box encloses the structure, a negative one holds none of it. Returns the mask.

        Raises:
            PromptError: not a box inside one slice of the image.
        """
        is_positive = check_sign(include_interaction)
        mark = place_box(self._open().image, bbox_coords, is_positive=is_positive)
        return self._interact(label, (mark,), run_prediction)

    @one_at_a_time
    def add_scribble_interaction(
        self,
        scribble: Given,
        include_interaction: bool | np.bool_,
        label: str = DEFAULT_LABEL,
        *,
        slice_index: Given | None = None,
        run_prediction: bool = True,
    ) -> Mask:
        """Draw a stroke: an array like the image (or like one slice), not zero where it runs.

        Raises:
            PromptError: the stroke covers nothing.
            GeometryError: an array of another shape.
        """
        is_positive = check_sign(include_interaction)
        drawn = place_drawing(self._open().image, scribble, slice_index, "scribble")
        marks = tuple((index, Scribble(mask, is_positive)) for index, mask in drawn)
        return self._interact(label, marks, run_prediction)

    @one_at_a_time
    def add_lasso_interaction(
        self,
        lasso: Given,
        include_interaction: bool | np.bool_,
        label: str = DEFAULT_LABEL,
        *,
        slice_index: Given | None = None,
        run_prediction: bool = True,
    ) -> Mask:
        """Draw a closed outline: like a scribble, but the array is not zero inside it."""
        is_positive = check_sign(include_interaction)
        drawn = place_drawing(self._open().image, lasso, slice_index, "lasso")
        marks = tuple((index, Lasso(mask, is_positive)) for index, mask in drawn)
        return self._interact(label, marks, run_prediction)

    @one_at_a_time
    def add_initial_seg_interaction(
        self, initial_seg: Given, label: str = DEFAULT_LABEL, *, slice_index: Given | None = None
    ) -> Mask:
        """Start from a mask: it becomes the label's mask, which clicks then refine.

        `predict` with a class or references starts anew from those, without this mask.

        Raises:
            GeometryError: an array of another shape than the image (or the slice).
        """
        workspace, name = self._open(), self._changeable(label)
        planes = place_mask_like(workspace.image, initial_seg, slice_index, "initial segmentation")
        state = workspace.view.labels.get(name)
        found = set() if state is None else {i for i in planes if state.on(i).result is not None}
        packed = {index: PackedMask.pack(plane) for index, plane in planes.items()}
        given = tuple(
            (index, mask)
            for index, mask in packed.items()
            if mask or index in found or workspace.image.num_slices == 1
        )
        workspace.do(action.GiveMask(name, given))
        return workspace.mask(name)

    def predict(
        self,
        labels: Given | None = None,
        classes: Given | None = None,
        *,
        progress: Progress | None = None,
        is_aside: bool = False,
    ) -> dict[str, Prediction]:
        """Segment classes the model knows, and labels with references or interactions.

        Without arguments: every label something is known about, except locked ones. On a volume
        classes and references run over all slices. Returns a result for each name as given.
        `is_aside` lets other threads use the session meanwhile.

        Raises:
            LabelError: an unknown class (near ones are listed), a label nothing is known about, a
                locked one, or a model that knows no classes.
            CancelledError: the progress asked to stop; nothing was changed.
            ConflictError: another thread changed something meanwhile; nothing else was changed.
        """
        with nullcontext() if is_aside else self._lock:
            with self._lock:
                workspace = self._open()
                targets = find_targets(self.model, workspace.view, labels, classes)
                wanted = action.Predict(tuple(dict.fromkeys(targets.values())))
                foreseen = workspace.foresee(wanted)
            after = foreseen.compute(progress or SilentProgress())
            with self._lock:
                foreseen.keep(after)
                return {
                    name: Prediction(workspace.mask(one.label), after.labels[one.label].presence)
                    for name, one in targets.items()
                }

    @one_at_a_time
    def mask(self, label: str = DEFAULT_LABEL, *, slice_index: Given | None = None) -> Mask:
        """Return a label's mask in the shape of the image, or of one slice of it.

        What locked labels hold belongs to no other label.

        Raises:
            LabelError: no such label on this image.
        """
        return on_slice(self._open().image, self._open().mask(self._known(label)), slice_index)

    @one_at_a_time
    def probability(
        self, label: str = DEFAULT_LABEL, *, slice_index: Given | None = None
    ) -> Float32[np.ndarray, "..."]:
        """Return a label's probability in 0..1; the mask is where it is at least 0.5."""
        return on_slice(
            self._open().image, self._open().probability(self._known(label)), slice_index
        )

    @one_at_a_time
    def presence(self, label: str = DEFAULT_LABEL) -> float:
        """Return the score in 0..1 that the label is on the image at all (the best slice's)."""
        return self._open().view.labels[self._known(label)].presence

    @one_at_a_time
    def undo(self) -> bool:
        """Take the last step back; False if there is none."""
        return self._workspace is not None and self._workspace.log.undo()

    @one_at_a_time
    def redo(self) -> bool:
        """Do an undone step again; False if there is none."""
        return self._workspace is not None and self._workspace.log.redo()

    @one_at_a_time
    def commit(self, label: str = DEFAULT_LABEL, *others: str) -> str:
        """Accept masks as they show now: lock them, make each an example; return the first's hash.

        Raises:
            ReferencePairError: a mask is empty.
            LabelError: no such label, or it is locked already.
        """
        workspace = self._open()
        names = [self._changeable(self._known(one)) for one in (label, *others)]
        # All are taken before the first is locked: a locked label keeps the others out.
        digests = workspace.keep(*[workspace.accept(name) for name in names])
        for name, digest in zip(names, digests, strict=True):
            workspace.do(action.Commit(name, digest))
        return digests[0]

    @one_at_a_time
    def lock(self, label: str = DEFAULT_LABEL) -> None:
        """Freeze a label's mask and keep the others out of it."""
        self._open().do(action.Lock(self._known(label), is_locked=True))

    @one_at_a_time
    def unlock(self, label: str = DEFAULT_LABEL) -> None:
        """Let a label change again."""
        self._open().do(action.Lock(self._known(label), is_locked=False))

    @one_at_a_time
    def reset_interactions(self) -> None:
        """Forget all labels except locked ones; references stay, and undo brings all back."""
        self._open().do(action.Reset())

    @one_at_a_time
    def replay(self, progress: Progress | None = None) -> ReplayReport:
        """Rebuild the masks from the prompt log and compare them with what was seen.

        Bit for bit with the same weights, engine, threads and versions; otherwise the report has
        Dice and a notice. The masks seen are kept either way.
        """
        return self._open().replay(progress or SilentProgress())

    @one_at_a_time
    def save(self, path: str | Path, *, embed_bytes: int = EMBED_BYTES) -> None:
        """Write log, masks and references (up to `embed_bytes` with their pixels), to go on later.

        Raises:
            WriteError: no space or no permission; an older file stays as it was.
        """
        write_work(Path(path), self._open().to_work(), embed_bytes)

    @classmethod
    def load(
        cls,
        path: str | Path,
        model: LoadedModel | None = None,
        *,
        image: Given | None = None,
        cache_bytes: int = BUDGET_BYTES,
        author: str = "",
        memory: Memory | None = None,
    ) -> Session:
        """Open a work file; without a model the one it names is loaded.

        `image` stands in for an annotated image that has moved. Where model or versions are not
        those of the file, its masks are kept as they were and `notice` says so.

        Raises:
            FormatVersionError: not a work file, damaged, or of a newer version.
            ImageReadError: the annotated image is missing or has changed.
            LabelError: the model lacks a class that was asked for.
        """
        work = read_work(Path(path), None if image is None else to_image(image))
        used = model if model is not None else load(work.model_name)
        session = cls(used, cache_bytes=cache_bytes, author=author, memory=memory)
        session.bench = replace(session.bench, zoom=work.zoom)
        session._workspace = Workspace.from_work(session.bench, work)
        if not session._workspace.has_same_origin or used.long_side != work.long_side:
            session._notice = (
                f"{path} was made with another model, engine, thread count or version; its masks "
                "are kept as they were, further steps may differ slightly"
            )
        return session

    @one_at_a_time
    def write_mask(
        self,
        path: str | Path,
        labels: Given | None = None,
        priority: Given = (),
        format: str | None = None,
        deidentify: Deidentifier | None = None,
    ) -> LabelMap:
        """Write labels on the image's grid as `io.writer.write_mask` does; return what is there.

        Raises:
            LabelError: an unknown label, or none at all.
            WriteError: the file cannot be written.
        """
        workspace = self._open()
        asked = self.labels if labels is None else check_names(labels, "labels")
        first = () if priority in ((), []) else check_names(priority, "priority")
        planes = Labels({name: workspace.mask(name) for name in map(self._known, asked)})
        order = tuple(self._known(name) for name in first)
        by, image = describe_algorithm(self.model, workspace.view), workspace.image
        return write_mask(
            path, planes, image, format=format, priority=order, algorithm=by, deidentify=deidentify
        )

    @property
    def model(self) -> LoadedModel:
        """The model."""
        return self.bench.model

    @property
    def image(self) -> Image | None:
        """The open image, None before `set_image`."""
        return None if self._workspace is None else self._workspace.image

    @property
    @one_at_a_time
    def labels(self) -> tuple[str, ...]:
        """Labels on this image, in the order they appeared."""
        return () if self._workspace is None else tuple(self._workspace.view.labels)

    @property
    @one_at_a_time
    def locked(self) -> tuple[str, ...]:
        """Locked labels."""
        states = {} if self._workspace is None else self._workspace.view.labels
        return tuple(name for name, state in states.items() if state.is_locked)

    @property
    @one_at_a_time
    def references(self) -> ReferenceBank:
        """The examples of every label."""
        return self._bank if self._workspace is None else self._workspace.view.bank

    @property
    @one_at_a_time
    def annotation(self) -> Annotation:
        """The labels of the open image with all that was said and found, as a value to read."""
        return self._open().view

    @property
    def log(self) -> PromptLog:
        """The prompt log of the open image."""
        return self._open().log

    @property
    def notice(self) -> str | None:
        """What a person should know about the file this was loaded from; None if nothing."""
        return self._notice

    @one_at_a_time
    def interactions(self, label: str = DEFAULT_LABEL, slice_index: Given = 0) -> Interactions:
        """Return what was said about a label on a slice."""
        state = self._open().view.labels[self._known(label)]
        return state.on(place_slice(self._open().image, slice_index)).interactions

    def _open(self) -> Workspace:
        if self._workspace is None:
            raise PromptError("no image is open; call set_image with a path or an array first")
        return self._workspace

    def _known(self, label: Given) -> str:
        return find_label(self.model.concepts, self._open().view, label)

    def _changeable(self, label: Given) -> str:
        """Return the label's own name, of a label that is new or may change."""
        name, annotation = check_label(label), self._open().view
        refuse_locked(annotation, name)
        return name

    def _interact(self, label: Given, marks: tuple[action.Mark, ...], run_prediction: bool) -> Mask:
        workspace, name = self._open(), self._changeable(label)
        if not self.model.segmenter.accepts.clicks:
            raise PromptError(
                f"model {self.model.name!r} takes no clicks, strokes or boxes; ask for classes or "
                "give references"
            )
        workspace.do(action.Interact(name, marks, predicts=bool(run_prediction)))
        return workspace.mask(name)

    def _use_references(self, label: str, references: tuple[Reference, ...]) -> None:
        if not self.model.segmenter.accepts.references:
            raise ReferencePairError(
                f"model {self.model.name!r} cannot use references; ask for classes or click"
            )
        if self._workspace is None:
            self._bank = self._bank.with_label(label, references)
            return
        self._workspace.do(action.UseReferences(label, self._workspace.keep(*references)))

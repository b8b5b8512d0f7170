"""Sessions on images of a project: opened where the work stopped, taught what the project knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from medprism.core.errors import FormatVersionError, ImageReadError, LabelError
from medprism.core.progress import Progress
from medprism.engines.loaded import LoadedModel
from medprism.inference.encoder import Encoder, View
from medprism.inference.likeness import Likeness
from medprism.inference.memory import Memory
from medprism.inference.reference_bank import Provenance, Reference
from medprism.inference.session import Session
from medprism.metrics.certainty import certainty
from medprism.project.examples import ExampleRecord
from medprism.project.project import Project
from medprism.project.shelf import ImageShelf

# A reference that the others find again less well than this is used only where others are few.
_POOR: Final = 0.5
# Images of references that are compared with a new one; each not seen before costs an encoding.
_COMPARED: Final = 64


@dataclass(eq=False)
class Desk:
    """What sessions of one project share: the model, memory for encodings, images at hand.

    `model` may be exchanged; sessions that are open keep the one they began with.
    """

    project: Project
    model: LoadedModel
    shelf: ImageShelf
    memory: Memory

    @cached_property
    def likeness(self) -> Likeness:
        """What compares images of the project."""
        return Likeness(self.memory)

    def scratch(self) -> Session:
        """Return a session for a calculation beside the work."""
        return Session(self.model, memory=self.memory)


@dataclass(frozen=True, eq=False)
class Opened:
    """A session on an image, and what a person should know about it (None: nothing)."""

    session: Session
    notice: str | None


def open_session(desk: Desk, image: int, author: str) -> Opened:
    """Open an image where the work on it stopped, or anew with the project's references.

    Work that cannot be read any more is put aside, and the accepted masks are opened instead.

    Raises:
        UnknownEntryError: there is no such image.
        ImageReadError: its file cannot be read.
    """
    content = desk.shelf.get(image)
    if desk.project.works.of(image) is not None:
        path = desk.project.works.target(image)
        try:
            session = Session.load(
                path, desk.model, image=content, memory=desk.memory, author=author
            )
        except (FormatVersionError, ImageReadError, LabelError) as error:
            aside = desk.project.works.put_aside(image)
            opened = _open_anew(desk, image, author)
            return Opened(
                opened.session,
                f"the prompt log could not be opened ({error}); it was kept as {aside.name}, and "
                "work starts from the accepted masks",
            )
        refresh_references(desk, session, image)
        return Opened(session, session.notice)
    return _open_anew(desk, image, author)


def save_session(desk: Desk, session: Session, image: int, author: str) -> None:
    """Write the prompt log of an image into the project.

    Raises:
        WriteError: the disk refuses; what was saved before is still there.
    """
    # Reference images are files of the project, so their pixels need not be written again.
    session.save(desk.project.works.target(image), embed_bytes=0)
    log = session.log
    desk.project.works.note(image, len(log), log.pointer, author)


def knows_something(desk: Desk, session: Session) -> bool:
    """Return whether the project has a class or references for a label that is not begun."""
    return any(_knowledge(desk, session))


def presegment(
    desk: Desk,
    session: Session,
    image: int,
    progress: Progress | None = None,
    *,
    is_aside: bool = False,
) -> bool:
    """Predict what the project knows on an image; False if it knows nothing.

    Labels that the model knows as a class are asked for by class, others by their references.
    Labels that hold something already are left alone. `is_aside` lets others use the session
    meanwhile.

    Raises:
        CancelledError: the progress asked to stop; nothing was changed.
        ConflictError: somebody changed something meanwhile.
    """
    classes, by_reference = _knowledge(desk, session)
    if not classes and not by_reference:
        return False
    session.predict(by_reference or None, classes or None, progress=progress, is_aside=is_aside)
    desk.project.images.note_presegmentation(image, uncertainty(session))
    return True


def _knowledge(desk: Desk, session: Session) -> tuple[list[str], list[str]]:
    """Return the labels to ask for by class, and those by their references."""
    begun = set(session.labels)
    known = _class_names(session.model)
    names = [one.name for one in desk.project.labels.all() if one.name not in begun]
    classes = [name for name in names if name in known]
    by_reference = [
        name
        for name in names
        if name not in known
        and name in session.references
        and session.model.segmenter.accepts.references
    ]
    return classes, by_reference


def encode_ahead(desk: Desk, image: int, slice_index: int | None = None) -> None:
    """Encode the slice of an image that a person sees first (None: its middle) for the first click.

    Raises:
        ImageReadError: its file cannot be read.
    """
    content = desk.shelf.get(image)
    view = View(content, content.num_slices // 2 if slice_index is None else slice_index)
    Encoder(desk.model, desk.memory.cache).features(view)


def uncertainty(session: Session) -> float | None:
    """Return how uncertain the least certain label of the open image is (0..1), None without any.

    It is 1 - `metrics.certainty` over the whole image.
    """
    doubts = [
        1.0 - certainty(session.probability(name), session.mask(name))
        for name in session.labels
        if name not in session.locked
    ]
    return round(max(doubts), 6) if doubts else None


def reference_of(project: Project, shelf: ImageShelf, example: ExampleRecord) -> Reference:
    """Return a reference of a project with its pixels.

    Raises:
        ImageReadError: its image cannot be read.
        ProjectError: its mask is missing.
    """
    image = shelf.get(example.image)
    mask = project.masks.read(project.masks.get(example.acceptance), image)
    source = None if image.source is None else str(image.source)
    return Reference.from_pair(image, mask, Provenance(source=source, author=example.author))


def references_of(desk: Desk, examples: Iterable[ExampleRecord]) -> list[Reference]:
    """Return references of the desk's project with their pixels; see `reference_of`."""
    return [reference_of(desk.project, desk.shelf, one) for one in examples]


def chosen_examples(desk: Desk, label: int, image: int) -> list[ExampleRecord]:
    """Return the references of a label that serve on an image: those whose images are most alike.

    At most `references_used` of the project's settings; never one of the image itself. Poor ones
    come last; of equal ones the better, then the later comes first.

    Raises:
        ImageReadError: the image's file cannot be read.
    """
    active = desk.project.examples.find(label, only_active=True, without_image=image)
    limit = desk.project.preferences.read().references_used
    # One that was not judged yet counts as middling, so that bad ones are left out first.
    active.sort(key=lambda one: (-(_POOR if one.score is None else one.score), -one.id))
    if len(active) <= limit:
        return active
    compared = active[: max(limit, _COMPARED)]
    alike = {one.id: _likeness(desk, image, one) for one in compared}
    compared.sort(key=lambda one: (one.score is not None and one.score < _POOR, -alike[one.id]))
    return compared[:limit]


def refresh_references(desk: Desk, session: Session, image: int) -> None:
    """Bring the references of a session up to those of the project; locked labels stay."""
    if not desk.model.segmenter.accepts.references:
        return
    for label in desk.project.labels.all():
        if label.name in session.locked:
            continue
        wanted = references_of(desk, chosen_examples(desk, label.id, image))
        present = {one.digest for one in session.references.of(label.name)}
        if wanted and {one.digest for one in wanted} != present:
            use_references(session, label.name, wanted)


def use_references(session: Session, label: str, references: list[Reference]) -> None:
    """Make these the references of a label of a session, in place of former ones."""
    session.set_references(
        [one.image for one in references], [one.mask() for one in references], label
    )


def _open_anew(desk: Desk, image: int, author: str) -> Opened:
    content = desk.shelf.get(image)
    session = Session(desk.model, memory=desk.memory, author=author)
    refresh_references(desk, session, image)
    session.set_image(content)
    for accepted in desk.project.masks.of(image):
        mask = desk.project.masks.read(accepted, content)
        session.add_initial_seg_interaction(mask, accepted.name)
        session.lock(accepted.name)
    return Opened(session, None)


def _likeness(desk: Desk, image: int, example: ExampleRecord) -> float:
    """Return how alike an image and that of a reference are, to five digits so that equal is equal.

    Less than anything where the file of the reference cannot be read.
    """
    here = desk.shelf.get(image)
    try:
        there = desk.shelf.get(example.image)
    except ImageReadError:
        return -2.0
    return round(desk.likeness.between(desk.model, here, there), 5)


def _class_names(model: LoadedModel) -> frozenset[str]:
    return frozenset(model.concepts.names if model.segmenter.accepts.classes else ())

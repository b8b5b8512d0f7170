"""Segment one file, or a folder of files one after the other: a bad one does not stop the rest."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from medprism.core.durable import make_folder
from medprism.core.errors import (
    CancelledError,
    ImageReadError,
    MedprismError,
    PromptError,
    WriteError,
)
from medprism.core.image import Image
from medprism.core.progress import Progress, SilentProgress
from medprism.inference.knowledge import Knowledge, ask, teach
from medprism.inference.outputs import Outputs
from medprism.inference.session import Session
from medprism.inference.statistics import LabelStatistics, collect_statistics
from medprism.inference.task_match import foreign_modalities
from medprism.io.deidentify import Deidentifier
from medprism.io.reader import read_image
from medprism.io.recognise import is_dicom
from medprism.io.writer import default_mask_suffix, format_named, suffix_of

# TIFF under the names that slide scanners and large pictures have; its content decides.
SLIDE_SUFFIXES: Final = (".tif", ".tiff", ".svs", ".ndpi", ".scn", ".bif", ".btf", ".tf8")
IMAGE_SUFFIXES: Final = (
    *(".png", ".jpg", ".jpeg", ".bmp", *SLIDE_SUFFIXES),
    *(".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm"),
)

# Bytes at the start of a file that tell whether it is DICOM.
_PREAMBLE: Final = 132
# Files of a folder that are looked at: a series may have a text beside it.
_LOOKED_AT: Final = 3


@dataclass(frozen=True)
class Segmented:
    """One image that was segmented: where its mask is, what was found, and how long it took.

    `image` and `mask` are paths, or addresses of a PACS as text. `warnings` are sentences on what
    may be wrong with the question, such as a task that learned from another modality.
    """

    image: Path | str
    mask: Path | str
    labels: tuple[LabelStatistics, ...]
    milliseconds: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ArchiveReport:
    """What became of a folder; `failed` pairs each file that was left out with the reason."""

    segmented: tuple[Segmented, ...]
    failed: tuple[tuple[Path, str], ...]


@dataclass(frozen=True, kw_only=True)
class MaskFolder:
    """Where the masks of an archive go; they are named after its images.

    They have the format of their image, or `format`, a name of `io.writer.format_named`;
    `deidentify` is for all of them.
    """

    path: Path
    priority: tuple[str, ...] = ()
    format: str | None = None
    deidentify: Deidentifier | None = None

    def outputs(self, study: Path, image: Image) -> Outputs:
        """Return what is written about an image.

        Raises:
            ImageReadError: the format cannot hold its masks.
        """
        chosen = None if self.format is None else format_named(self.format)
        suffix = default_mask_suffix(image) if chosen is None else chosen.suffixes[0]
        outputs = Outputs(
            mask=self.path / f"{stem_of(study)}{suffix}",
            priority=self.priority,
            format=self.format,
            deidentify=self.deidentify,
        )
        try:
            outputs.check_image(image)
        except WriteError as error:
            raise ImageReadError(str(error)) from error
        return outputs


def segment_file(
    session: Session,
    image: Path,
    knowledge: Knowledge,
    outputs: Outputs,
    progress: Progress | None = None,
    *,
    part: str | None = None,
) -> Segmented:
    """Segment a file with everything that is known and write the outputs.

    `part` is which image, where the file or folder holds several (see `io.reader.read_image`).

    Raises:
        MedprismError: the image, the knowledge or a path cannot be used; the message says how to
            mend it, and no file is left half-written.
    """
    outputs.check(image)
    opened = read_image(image, part)
    outputs.check_image(opened)
    teach(session, knowledge)
    return _segment(session, opened, knowledge, outputs, progress)


def segment_folder(
    session: Session,
    folder: Path,
    knowledge: Knowledge,
    out: Path,
    progress: Progress | None = None,
    *,
    priority: tuple[str, ...] = (),
    format: str | None = None,
    deidentify: Deidentifier | None = None,
) -> ArchiveReport:
    """Segment every study of a folder (see `find_studies`); masks are named after the studies.

    They have the format of their image, or `format`, a name of `io.writer.format_named`;
    `deidentify` is for all of them.

    Examples are encoded once, and while one image is segmented the next one is read. A file that
    cannot be segmented is reported and left out.

    Raises:
        ImageReadError: no study, or two whose masks would share a name.
        PromptError: clicks or boxes, which belong to one image.
        WriteError: `out` is the folder itself, or cannot be written.
        LabelError: an unknown class.
    """
    progress = progress or SilentProgress()
    check_no_marks(knowledge, folder)
    masks = MaskFolder(path=out, priority=priority, format=format, deidentify=deidentify)
    if format is not None:
        format_named(format)
    images = find_studies(folder, out)
    make_mask_folder(out, folder)
    teach(session, knowledge)
    done: list[Segmented] = []
    failed: list[tuple[Path, str]] = []
    for number, (path, coming) in enumerate(_read_ahead(images), start=1):
        if progress.is_cancelled():
            raise CancelledError(
                f"stopped before {path.name}; the masks of the images before it are in {out}"
            )
        try:
            done.append(segment_study(session, path, coming.result(), knowledge, masks))
        except WriteError:
            raise
        except MedprismError as error:
            failed.append((path, str(error)))
        progress.report(number, len(images), path.name)
    return ArchiveReport(tuple(done), tuple(failed))


def segment_study(
    session: Session, study: Path, image: Image, knowledge: Knowledge, masks: MaskFolder
) -> Segmented:
    """Segment a study of an archive that was read already, by a session that was taught.

    Raises:
        MedprismError: see `segment_file`; a `WriteError` is none of this study alone (a full disk).
    """
    return _segment(session, image, knowledge, masks.outputs(study, image))


def _read_ahead(images: Sequence[Path]) -> Iterator[tuple[Path, Future[Image]]]:
    """Yield each path with its image to come; the next one is read while the caller computes."""
    with ThreadPoolExecutor(1, thread_name_prefix="reading") as pool:
        coming = pool.submit(read_image, images[0])
        for path, after in zip(images, (*images[1:], None), strict=True):
            here = coming
            if after is not None:
                coming = pool.submit(read_image, after)
            yield path, here


def find_studies(folder: Path, without: Path | None = None) -> tuple[Path, ...]:
    """Return what a folder holds to be segmented: image files, and subfolders with a DICOM series.

    Both directly inside, sorted by name. A subfolder counts if one of three files in it is DICOM,
    and if it is not `without`, where masks may go.

    Raises:
        ImageReadError: there is none, or two differ only in the suffix.
    """
    avoided = None if without is None else without.resolve()
    series = [
        path
        for path in folder.iterdir()
        if path.is_dir() and path.resolve() != avoided and _holds_dicom(path)
    ]
    studies = sorted((*_image_files(folder, IMAGE_SUFFIXES), *series))
    if not studies:
        return list_images(folder)
    _refuse_twins(folder, studies)
    return tuple(studies)


def _holds_dicom(folder: Path) -> bool:
    if folder.name.startswith("."):
        return False
    files = (path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    for path in islice(files, _LOOKED_AT):
        with path.open("rb") as file:
            if is_dicom(file.read(_PREAMBLE)):
                return True
    return False


def list_images(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> tuple[Path, ...]:
    """Return the image files directly inside a folder, by their suffixes, sorted.

    Raises:
        ImageReadError: there is none, or two differ only in the suffix.
    """
    images = sorted(_image_files(folder, suffixes))
    if not images:
        raise ImageReadError(
            f"{folder} holds no image file ({', '.join(suffixes)}); choose another folder, "
            "or for a DICOM series name a mask file as output"
        )
    _refuse_twins(folder, images)
    return tuple(images)


def _image_files(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    return (
        path
        for path in folder.iterdir()
        if path.is_file() and suffix_of(path, suffixes) and not path.name.startswith(".")
    )


def _refuse_twins(folder: Path, studies: Sequence[Path]) -> None:
    by_stem: dict[str, Path] = {}
    for path in studies:
        former = by_stem.setdefault(stem_of(path), path)
        if former != path:
            raise ImageReadError(
                f"the masks of {former.name} and {path.name} in {folder} would share a name; "
                "rename one of them"
            )


def check_no_marks(knowledge: Knowledge, folder: Path) -> None:
    """Refuse clicks and boxes for a folder of images.

    Raises:
        PromptError: there is one.
    """
    if knowledge.has_marks:
        raise PromptError(
            f"clicks and boxes belong to one image and {folder} is a folder of them; "
            "segment the images one by one, or ask by class or references"
        )


def make_mask_folder(out: Path, folder: Path) -> None:
    """Make the folder for the masks of the images in another one.

    Raises:
        WriteError: it is the folder of the images itself, or cannot be made.
    """
    if out.resolve() == folder.resolve():
        raise WriteError(
            f"{out} is the folder of the images, whose files masks must not replace; "
            "choose another output folder"
        )
    make_folder(out)


def stem_of(path: Path) -> str:
    """Return the name of an image file without its suffix.

    >>> stem_of(Path("scan.v2.nii.gz"))
    'scan.v2'
    """
    suffix = suffix_of(path, IMAGE_SUFFIXES) or ""
    return path.name[: len(path.name) - len(suffix)]


def _segment(
    session: Session,
    image: Image,
    knowledge: Knowledge,
    outputs: Outputs,
    progress: Progress | None = None,
) -> Segmented:
    started = time.perf_counter()
    session.set_image(image)
    ask(session, knowledge, progress)
    written = outputs.write(session)
    milliseconds = 1000 * (time.perf_counter() - started)
    source = image.source or Path()
    return Segmented(
        source,
        outputs.mask,
        collect_statistics(session, written),
        milliseconds,
        foreign_modalities(session.model, knowledge.classes, image),
    )

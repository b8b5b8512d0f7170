"""Segment one level of every whole slide in a folder: a bad one does not stop the rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medprism.core.errors import CancelledError, MedprismError, WriteError
from medprism.core.progress import Progress, SilentProgress
from medprism.inference.archive import (
    SLIDE_SUFFIXES,
    check_no_marks,
    list_images,
    make_mask_folder,
    stem_of,
)
from medprism.inference.knowledge import Knowledge, teach
from medprism.inference.session import Session
from medprism.inference.slide import SegmentedSlide, Tiling, segment_slide


@dataclass(frozen=True)
class SlideReport:
    """What became of a folder of slides; `failed` pairs each one left out with the reason."""

    segmented: tuple[SegmentedSlide, ...]
    failed: tuple[tuple[Path, str], ...] = ()


class _Slides:
    """Progress in slides: tiles are not counted, since only an open slide knows how many it has."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown

    def report(self, done: int, total: int, message: str = "") -> None:
        """Ignore the tiles."""

    def is_cancelled(self) -> bool:
        """Return what the outside says."""
        return self._shown.is_cancelled()


def segment_slides(
    session: Session,
    folder: Path,
    level: int,
    knowledge: Knowledge,
    out: Path,
    progress: Progress | None = None,
    *,
    tiling: Tiling | None = None,
    priority: tuple[str, ...] = (),
) -> SlideReport:
    """Segment a level of every slide directly inside a folder, into `out`/NAME.tif.

    A file that is no slide, or has no such level, is reported and left out.

    Raises:
        ImageReadError: no TIFF file of any name, or two whose masks would share a name.
        PromptError: clicks or boxes, which belong to one image.
        WriteError: `out` is the folder itself, or cannot be written.
        LabelError: an unknown class.
        CancelledError: the progress asked to stop; the masks of the slides before are kept.
    """
    progress = progress or SilentProgress()
    check_no_marks(knowledge, folder)
    slides = list_images(folder, SLIDE_SUFFIXES)
    make_mask_folder(out, folder)
    teach(session, knowledge)
    done: list[SegmentedSlide] = []
    failed: list[tuple[Path, str]] = []
    for number, path in enumerate(slides, start=1):
        mask = out / f"{stem_of(path)}.tif"
        try:
            done.append(
                segment_slide(
                    session,
                    path,
                    level,
                    knowledge,
                    mask,
                    _Slides(progress),
                    tiling=tiling,
                    priority=priority,
                )
            )
        except (WriteError, CancelledError):
            raise
        except MedprismError as error:
            failed.append((path, str(error)))
        progress.report(number, len(slides), path.name)
    return SlideReport(tuple(done), tuple(failed))

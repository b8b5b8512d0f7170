"""What `medprism predict` does once its arguments are read."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import typer

from medprism.apps.cli.click_argument import parse_box, parse_click, parse_click_mm
from medprism.apps.cli.cluster_prediction import segment_on_ray, summary
from medprism.apps.cli.listing import split_list
from medprism.apps.cli.pacs import PacsWish, read_wish, segment_with_pacs
from medprism.apps.cli.progress_bar import progress_bar
from medprism.apps.cli.slides import read_tiling, segment_level, show_slides
from medprism.apps.identity import open_deidentifier
from medprism.apps.reference_folder import open_references
from medprism.core.errors import ConfigError, MedprismError, WriteError
from medprism.engines.loading import load
from medprism.inference.archive import ArchiveReport, MaskFolder, segment_file, segment_folder
from medprism.inference.cluster import ArchiveOrder
from medprism.inference.knowledge import Knowledge
from medprism.inference.memory import Memory
from medprism.inference.outputs import Outputs
from medprism.inference.session import Session
from medprism.inference.statistics import write_statistics
from medprism.inference.task_match import check_task
from medprism.io.deidentify import Deidentifier
from medprism.io.dicomweb import is_pacs
from medprism.io.writer import MASK_SUFFIXES, suffix_of

# Options that a level of a slide cannot have, and a folder of studies can.
_OF_ALL_MASKS: Final = ("--statistics", "--format")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The arguments of `medprism predict`, as typed."""

    image: str
    out: Path | None
    to: str | None
    classes: str
    references: Path | None
    label: str | None
    clicks: tuple[str, ...]
    clicks_mm: tuple[str, ...]
    boxes: tuple[str, ...]
    resample: bool
    model: str
    priority: str
    statistics: Path | None
    probability: Path | None
    overlay: Path | None
    format: str | None
    deidentify: bool
    series: str | None
    level: int | None
    tile: int | None
    engine: str
    threads: int | None
    task: str | None = None
    ray: str | None = None
    workers: int | None = None


def carry_out(wish: Wish, *, as_json: bool) -> int:
    """Segment and print what was found; return 2 if a file of a folder was left out."""
    tiling = read_tiling(wish.level, wish.tile, wish.out, _whole_image_options(wish))
    pacs = read_wish(wish.image, wish.to, wish.series)
    knowledge = _knowledge(wish)
    _check_statistics(wish.statistics)
    if wish.out is None and wish.to is None:
        raise WriteError(
            "nothing says where the mask goes; give -o FILE, or --to with the address of a PACS"
        )
    if wish.ray is not None:
        return _on_ray(wish, knowledge, wish.ray, as_json=as_json)
    if wish.workers is not None:
        raise ConfigError(f"--workers {wish.workers} is for --ray; leave it out")
    session = Session(load(wish.model, wish.engine, wish.threads), memory=_memory(wish, knowledge))
    if wish.task is not None:
        check_task(session.model, wish.task)
    if tiling is not None and wish.level is not None and wish.out is not None:
        slides = segment_level(
            session, Path(wish.image), wish.level, knowledge, wish.out, tiling, _priority(wish)
        )
        typer.echo(show_slides(slides, as_json=as_json))
        return _status(slides.failed)
    report = _segment(session, wish, knowledge, pacs)
    return _tell(report, wish, _as_json(report) if as_json else "\n".join(_lines(report)))


def _on_ray(wish: Wish, knowledge: Knowledge, address: str, *, as_json: bool) -> int:
    """Segment a folder of studies on a Ray cluster and print what came of it."""
    if wish.out is None:
        raise WriteError("nothing says where the masks go; give -o FOLDER")
    masks = MaskFolder(
        path=wish.out,
        priority=_priority(wish),
        format=wish.format,
        deidentify=_deidentifier(wish),
    )
    order = ArchiveOrder(
        model=wish.model,
        knowledge=knowledge,
        masks=masks,
        engine=wish.engine,
        threads=wish.threads or 1,
        task=wish.task,
    )
    others = {**_whole_image_options(wish), "--level": wish.level is not None}
    # These two do go with a cluster.
    others = {name: other for name, other in others.items() if name not in _OF_ALL_MASKS}
    report = segment_on_ray(Path(wish.image), order, address, wish.workers, others)
    return _tell(report, wish, _as_json(report) if as_json else summary(report))


def _tell(report: ArchiveReport, wish: Wish, text: str) -> int:
    """Print warnings, statistics and the text; return 2 if anything was left out."""
    for found in report.segmented:
        for warning in found.warnings:
            print(f"warning: {found.image}: {warning}", file=sys.stderr)
    if wish.statistics is not None:
        rows = [row for one in report.segmented for row in one.labels]
        write_statistics(wish.statistics, rows)
    typer.echo(text)
    return _status(report.failed)


def _memory(wish: Wish, knowledge: Knowledge) -> Memory | None:
    """Keep probabilities only where something refines or writes them."""
    if knowledge.has_marks or wish.probability is not None:
        return None
    return Memory.for_one_pass()


def _status(failed: tuple[tuple[Path, str], ...]) -> int:
    """Name on stderr what was left out; return 2 if anything was."""
    for path, reason in failed:
        print(f"left out {path.name}: {reason}", file=sys.stderr)
    return MedprismError.exit_status if failed else 0


def _knowledge(wish: Wish) -> Knowledge:
    classes = split_list(wish.classes, "--classes") if wish.classes else ()
    classes = classes if wish.task is None else tuple(dict.fromkeys((*classes, wish.task)))
    label = wish.label
    folder = None
    if wish.references is not None:
        named = label or (classes[0] if len(classes) == 1 else None)
        folder = open_references(wish.references, named, resample=wish.resample)
        label = folder.label
        if folder.left_out:
            taken = len(folder.examples)
            print(f"taking {taken} of {taken + folder.left_out} references", file=sys.stderr)
    return Knowledge(
        classes=classes,
        examples=() if folder is None else folder.examples,
        boxes=tuple(parse_box(text) for text in wish.boxes),
        clicks=(
            *(parse_click(text) for text in wish.clicks),
            *(parse_click_mm(text) for text in wish.clicks_mm),
        ),
        label=label,
        resample=wish.resample,
    )


def _segment(
    session: Session, wish: Wish, knowledge: Knowledge, pacs: PacsWish | None
) -> ArchiveReport:
    outputs = Outputs(
        mask=wish.out or Path("mask.dcm"),
        probability=wish.probability,
        overlay=wish.overlay,
        priority=_priority(wish),
        format=wish.format,
        deidentify=_deidentifier(wish),
    )
    if pacs is not None:
        is_kept = wish.out is not None
        one = segment_with_pacs(
            session, pacs, wish.image, knowledge, outputs, keeps_mask=is_kept, part=wish.series
        )
        return ArchiveReport((one,), ())
    image = Path(wish.image)
    # A folder with a mask file as output is the one volume of a DICOM series.
    if image.is_dir() and suffix_of(outputs.mask, tuple(MASK_SUFFIXES)) is None:
        return _folder(session, wish, knowledge, image, outputs.mask)
    with progress_bar("segmenting") as bar:
        found = segment_file(session, image, knowledge, outputs, bar, part=wish.series)
    return ArchiveReport((found,), ())


def _folder(
    session: Session, wish: Wish, knowledge: Knowledge, folder: Path, out: Path
) -> ArchiveReport:
    if wish.probability is not None or wish.overlay is not None:
        raise WriteError(
            "--probability and --overlay are files of one image; leave them out for a folder"
        )
    if wish.series is not None:
        raise WriteError(
            f"--series chooses one of the series in {folder}, whose mask is a file, and "
            f"{out} would be a folder; name a file, such as mask.nii.gz"
        )
    with progress_bar("segmenting") as bar:
        return segment_folder(
            session,
            folder,
            knowledge,
            out,
            bar,
            priority=_priority(wish),
            format=wish.format,
            deidentify=_deidentifier(wish),
        )


def _whole_image_options(wish: Wish) -> dict[str, object]:
    """Return the options that a level of a slide cannot have; None is one that was not given."""
    return {
        "a PACS": wish.image if is_pacs(wish.image) else wish.to,
        "--statistics": wish.statistics,
        "--probability": wish.probability,
        "--overlay": wish.overlay,
        "--series": wish.series,
        "--format": None if wish.format == "tiff" else wish.format,
    }


def _deidentifier(wish: Wish) -> Deidentifier | None:
    """Return what hides the patient, None where nothing is to be hidden."""
    return open_deidentifier() if wish.deidentify else None


def _priority(wish: Wish) -> tuple[str, ...]:
    return split_list(wish.priority, "--priority") if wish.priority else ()


def _check_statistics(path: Path | None) -> None:
    if path is not None and not path.absolute().parent.is_dir():
        raise WriteError(f"cannot write {path}: there is no folder {path.parent}; make it first")


def _as_json(report: ArchiveReport) -> str:
    return json.dumps(
        {
            "segmented": [
                {
                    "image": str(one.image),
                    "mask": str(one.mask),
                    "milliseconds": round(one.milliseconds, 1),
                    "labels": [asdict(row) for row in one.labels],
                    "warnings": list(one.warnings),
                }
                for one in report.segmented
            ],
            "failed": [{"image": str(path), "reason": reason} for path, reason in report.failed],
        },
        indent=1,
    )


def _lines(report: ArchiveReport) -> list[str]:
    lines = []
    for one in report.segmented:
        lines.append(f"{one.image} -> {one.mask} ({one.milliseconds:.0f} ms)")
        for row in one.labels:
            size = (
                f"{row.volume_ml:.2f} ml"
                if row.volume_ml is not None
                else (f"{row.area:.1f} {row.unit}2")
            )
            lines.append(f"  {row.label}: {size}, presence {row.presence:.2f}")
    if report.failed:
        lines.append(f"{len(report.segmented)} segmented, {len(report.failed)} left out")
    return lines

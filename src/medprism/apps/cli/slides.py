"""`medprism predict --level`: one level of a whole slide, or of a folder of them, tile by tile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from medprism.apps.cli.progress_bar import progress_bar
from medprism.core.errors import ConfigError, WriteError
from medprism.inference.knowledge import Knowledge
from medprism.inference.session import Session
from medprism.inference.slide import SegmentedSlide, Tiling, segment_slide
from medprism.inference.slide_folder import SlideReport, segment_slides
from medprism.io.writer import MASK_SUFFIXES, suffix_of


def read_tiling(
    level: int | None, tile: int | None, out: Path | None, others: Mapping[str, object]
) -> Tiling | None:
    """Return how a slide is cut, None where the image is no slide; `others` cannot go with it.

    Raises:
        ConfigError: --tile without --level, or a side that cannot be used.
        WriteError: no mask file is named, or an option that works on whole images.
    """
    if level is None:
        if tile is not None:
            raise ConfigError(f"--tile {tile} cuts a level of a slide; say which with --level")
        return None
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise WriteError(
            f"{given[0]} needs the image as a whole, and --level works tile by tile; leave it out"
        )
    if out is None:
        raise WriteError(
            "nothing says where the mask of the slide goes; give -o FILE.tif, or -o FOLDER for a "
            "folder of slides"
        )
    return Tiling() if tile is None else Tiling(tile)


def segment_level(
    session: Session,
    image: Path,
    level: int,
    knowledge: Knowledge,
    mask: Path,
    tiling: Tiling,
    priority: tuple[str, ...],
) -> SlideReport:
    """Segment a level of a slide, or of all slides of a folder, with a bar on stderr.

    Raises:
        WriteError: the masks of a folder of slides are to go into one file.
        MedprismError: see `inference.slide.segment_slide` and `slide_folder.segment_slides`.
    """
    if not image.is_dir():
        with progress_bar("tiles") as bar:
            one = segment_slide(
                session, image, level, knowledge, mask, bar, tiling=tiling, priority=priority
            )
        return SlideReport((one,))
    if suffix_of(mask, tuple(MASK_SUFFIXES)) is not None:
        raise WriteError(
            f"{image} is a folder of slides and {mask} the name of one file; name a folder"
        )
    with progress_bar("slides") as bar:
        return segment_slides(
            session, image, level, knowledge, mask, bar, tiling=tiling, priority=priority
        )


def show_slides(report: SlideReport, *, as_json: bool) -> str:
    """Return what is printed about slides."""
    if as_json:
        document = {
            "segmented": [_as_json(one) for one in report.segmented],
            "failed": [{"image": str(path), "reason": reason} for path, reason in report.failed],
        }
        return json.dumps(document, indent=1)
    lines = [line for one in report.segmented for line in _lines(one)]
    if report.failed:
        lines.append(f"{len(report.segmented)} segmented, {len(report.failed)} left out")
    return "\n".join(lines)


def _as_json(found: SegmentedSlide) -> dict[str, object]:
    return {
        "image": str(found.image),
        "mask": str(found.mask),
        "level": found.level,
        "shape": list(found.size.shape),
        "spacing_mm": found.size.spacing,
        "tiles": found.num_tiles,
        "milliseconds": round(found.milliseconds, 1),
        "labels": [asdict(row) for row in found.labels],
    }


def _lines(found: SegmentedSlide) -> list[str]:
    lines = [
        f"{found.image} level {found.level} ({found.size.describe()}, {found.num_tiles} tiles) -> "
        f"{found.mask} ({found.milliseconds:.0f} ms)"
    ]
    for row in found.labels:
        size = f"{row.pixels} pixels" if row.area_mm2 is None else f"{row.area_mm2:.4g} mm2"
        lines.append(f"  {row.label}: {size}, presence {row.presence:.2f}")
    return lines

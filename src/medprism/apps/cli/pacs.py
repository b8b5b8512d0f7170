"""`medprism predict` with a PACS: read a series from it, store the mask in it, or both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from medprism.apps.cli.progress_bar import progress_bar
from medprism.core.errors import ConfigError
from medprism.inference.archive import Segmented, segment_file
from medprism.inference.knowledge import Knowledge
from medprism.inference.outputs import Outputs
from medprism.inference.session import Session
from medprism.io.dicomweb import (
    PacsAddress,
    fetch_series,
    is_pacs,
    parse_address,
    store_object,
)


@dataclass(frozen=True)
class PacsWish:
    """Where the image comes from and where the mask goes; None is the file system."""

    source: PacsAddress | None
    target: PacsAddress | None


def read_wish(image: str, to: str | None, series: str | None) -> PacsWish | None:
    """Return what was asked of a PACS, None if nothing was.

    Raises:
        ConfigError: an address that is none, or one to store at that names a study.
    """
    source = parse_address(image) if is_pacs(image) else None
    if source is not None and series is not None:
        source = parse_address(f"{replace(source, series=None)}/series/{series}")
    target = None if to is None else parse_address(to)
    if target is not None and target.study is not None:
        raise ConfigError(
            f"--to {target} names a study, and the mask goes into that of its image; leave it out"
        )
    return None if source is None and target is None else PacsWish(source, target)


def segment_with_pacs(
    session: Session,
    wish: PacsWish,
    image: str,
    knowledge: Knowledge,
    outputs: Outputs,
    *,
    keeps_mask: bool,
    part: str | None = None,
) -> Segmented:
    """Segment one series, write the `outputs`, then store the DICOM-SEG.

    Without `keeps_mask` the mask file of the outputs is not wanted, only what is stored.

    Raises:
        MedprismError: the series, the knowledge or a path cannot be used, or the PACS refuses;
            nothing is stored unless everything else is done.
    """
    with TemporaryDirectory(prefix="medprism-") as name:
        opened, seg = _image(wish, image, Path(name)), Path(name) / "mask.dcm"
        if keeps_mask:
            outputs.check(opened)
        # What is to be stored is checked before the work, as the mask of the run.
        run = outputs if wish.target is None else replace(outputs, mask=seg, format="dicom-seg")
        own_part = part if wish.source is None else None
        with progress_bar("segmenting") as bar:
            found = segment_file(session, opened, knowledge, run, bar, part=own_part)
        if wish.target is not None:
            if keeps_mask:
                session.write_mask(
                    outputs.mask,
                    priority=outputs.priority,
                    format=outputs.format,
                    deidentify=outputs.deidentify,
                )
            store_object(wish.target, seg)
    return replace(found, image=image, mask=outputs.mask if keeps_mask else str(wish.target))


def _image(wish: PacsWish, image: str, folder: Path) -> Path:
    """Return the image on the file system."""
    if wish.source is None:
        return Path(image)
    with progress_bar("reading") as bar:
        return fetch_series(wish.source, folder, bar)[1]

"""Convert a dataset from one layout into another: case by case, resumable, whole files only."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from medprism.core.durable import make_folder, read_json, write_bytes, write_json
from medprism.core.errors import CancelledError, ConfigError, LabelError
from medprism.core.labels import LabelMap
from medprism.core.progress import Progress, SilentProgress
from medprism.data.layouts.catalog import LAYOUTS, recognise_layout
from medprism.data.layouts.collection import Collection
from medprism.data.layouts.image_file import bring_image, bring_slices, suffix_of
from medprism.data.layouts.plan import ItemPlan, Plan
from medprism.io.mask_file import Colour, MaskFile
from medprism.io.writer import write_mask

MANIFEST: Final = ".medprism-convert.json"
FORMAT: Final = "medprism-conversion"
VERSION: Final = 1
# So many cases may have to be done again after a loss of power.
_SAVED_EVERY: Final = 50


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion did.

    `lost` is gone; `aside` stands in the target's documents where only medprism looks.
    """

    source_layout: str
    target_layout: str
    written: int
    unchanged: int
    lost: tuple[str, ...]
    aside: tuple[str, ...]

    def lines(self) -> tuple[str, ...]:
        """Return the report as lines of text."""
        return (
            f"{self.source_layout} -> {self.target_layout}: {self.written} cases written, "
            f"{self.unchanged} unchanged",
            *(f"lost: {what}" for what in self.lost or ("nothing",)),
            *(f"kept for medprism only: {what}" for what in self.aside),
        )


def convert(
    source: Path,
    out: Path,
    to: str,
    progress: Progress | None = None,
    *,
    resample: bool = False,
) -> ConversionReport:
    """Read a dataset in the layout it has and write it in another.

    Cases whose files did not change since the last time are left alone; what the last conversion
    wrote and this one does not is removed. An interrupted conversion goes on where it stopped.

    Args:
        source: a folder in any of LAYOUTS.
        out: a folder that is empty, missing, or was written by an earlier conversion.
        to: a key of LAYOUTS.
        progress: told of every case.
        resample: bring masks on other grids onto those of their images.

    Raises:
        ConfigError: an unknown layout, or a target folder that must not be written to.
        ImageReadError: no layout fits, or a file that is missing or unreadable.
        LabelError: a document that is damaged, or a label that the classes do not name.
        GeometryError: image and mask lie on different grids.
        CancelledError: the progress was cancelled; what is done is kept.
        WriteError: the disk refuses.
    """
    if to not in LAYOUTS:
        raise ConfigError(f"no layout {to!r}; known: {', '.join(LAYOUTS)}")
    _check_target(source, out)
    layout = recognise_layout(source)
    read = LAYOUTS[layout].read(source)
    items = tuple(replace(item, resample=resample) for item in read.items)
    collection = with_classes(replace(read, items=items))
    plan = LAYOUTS[to].plan(collection)
    make_folder(out)
    former = _former(out)
    run = _Run(collection, plan, out, former, to)
    try:
        run.all_items(progress or SilentProgress())
    finally:
        run.save()
    documents = plan.documents(out)
    for name, content in documents.items():
        make_folder((out / name).parent)
        write_bytes(out / name, content)
    run.remove_stale(set(documents))
    run.save()
    lost = (*collection.ignored, *plan.lost, *run.overlaps())
    return ConversionReport(layout, to, run.written, run.unchanged, lost, plan.aside)


def with_classes(collection: Collection) -> Collection:
    """Return a collection whose classes are known: described, or else found in its masks.

    Raises:
        LabelError: there is no label at all.
        ImageReadError: a mask cannot be read.
    """
    if collection.classes:
        return collection
    names: dict[int, str] = {}
    colours: dict[int, Colour] = {}
    for item in collection.labelled:
        mask = item.read_mask(item.channels[0].read())
        if mask is None:
            continue
        present = {*np.unique(mask.array[mask.array > 0]).tolist(), *mask.covered}
        for number in sorted(present):
            names.setdefault(number, mask.names.get(number, f"label {number}"))
            if number in mask.colours:
                colours.setdefault(number, mask.colours[number])
    if not names:
        raise LabelError("no mask of the dataset has a label; there is nothing to convert")
    return replace(
        collection, classes=dict(sorted(names.items())), colours={**colours, **collection.colours}
    )


class _Run:
    """One conversion under way: what is done, and what the manifest will say about it."""

    def __init__(
        self, collection: Collection, plan: Plan, out: Path, former: Mapping[str, Any], to: str
    ) -> None:
        self._collection = collection
        self._plan = plan
        self._out = out
        self._former = dict(former)
        self._done: dict[str, Any] = {}
        self._to = to
        self.written = 0
        self.unchanged = 0

    def all_items(self, progress: Progress) -> None:
        total = len(self._plan.items)
        common = [_stamp(path) for path in self._collection.documents]
        for count, planned in enumerate(self._plan.items, start=1):
            if progress.is_cancelled():
                raise CancelledError(
                    f"converting into {self._out} was cancelled after {count - 1} of {total} "
                    "cases; run it again to go on"
                )
            self._one(planned, common)
            progress.report(count, total, planned.item.case_id)
            if self.written and count % _SAVED_EVERY == 0:
                self.save()

    def _one(self, planned: ItemPlan, common: list[Any]) -> None:
        case = planned.item.case_id
        signature = self._signature(planned, common)
        former = self._former.get(case)
        if (
            former is not None
            and former["signature"] == signature
            and all((self._out / name).exists() for name in former["files"])
        ):
            self._done[case] = former
            self.unchanged += 1
            return
        files, overlap = _write_item(planned, self._collection, self._plan.classes, self._out)
        self._done[case] = {"signature": signature, "files": files, "overlap": overlap}
        self.written += 1

    def _signature(self, planned: ItemPlan, common: list[Any]) -> str:
        said = {
            "to": self._to,
            "images": [repr(target) for target in planned.images],
            "mask": planned.mask,
            "numbers": sorted(planned.numbers.items()),
            "classes": sorted(self._plan.classes.items()),
            "colours": sorted(self._collection.colours.items()),
            "channels": [repr(channel) for channel in planned.item.channels],
            "files": [_stamp(path) for path in planned.item.sources],
            "documents": common if not isinstance(planned.item.mask, Path) else [],
        }
        return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()

    def overlaps(self) -> tuple[str, ...]:
        """Return what overlapping labels lost, one line a label."""
        counted: Counter[str] = Counter()
        for entry in self._done.values():
            counted.update(entry["overlap"])
        return tuple(
            f"{count} pixels of {name!r} that other labels cover"
            for name, count in sorted(counted.items())
        )

    def remove_stale(self, documents: set[str]) -> None:
        """Remove files of the former conversion that this one did not write."""
        kept = {name for entry in self._done.values() for name in entry["files"]} | documents
        for entry in self._former.values():
            for name in entry["files"]:
                path = (self._out / name).resolve()
                if name not in kept and path.is_relative_to(self._out.resolve()):
                    path.unlink(missing_ok=True)
        self._former = {}

    def save(self) -> None:
        """Write the manifest; cases that were not reached keep their former entry."""
        cases = {**self._former, **self._done}
        write_json(self._out / MANIFEST, FORMAT, VERSION, {"layout": self._to, "cases": cases})


def _write_item(
    planned: ItemPlan, collection: Collection, classes: Mapping[int, str], out: Path
) -> tuple[list[str], dict[str, int]]:
    files: list[str] = []
    channels = planned.item.channels
    for target in planned.images:
        path = out / target.path
        make_folder(path.parent)
        chosen = [channels[number] for number in target.channels]
        if target.slices:
            names = bring_slices(chosen[0], path.parent, path.name)
            files.extend((path.parent / name).relative_to(out).as_posix() for name in names)
        else:
            bring_image(chosen, path, splits_colours=target.splits_colours)
            files.append(target.path)
    if planned.mask is None:
        return files, {}
    files.append(planned.mask)
    return files, _write_mask(planned, collection, classes, out / planned.mask)


def _write_mask(
    planned: ItemPlan, collection: Collection, classes: Mapping[int, str], target: Path
) -> dict[str, int]:
    """Copy a mask that stays as it is, else write it anew; return the pixels that overlaps cost."""
    make_folder(target.parent)
    source = planned.item.mask
    image = planned.item.channels[0].read()
    # Read even where it is copied: a mask on another grid than its image is refused here.
    mask = planned.item.read_mask(image)
    if mask is None:
        return {}
    stays = all(old == new for old, new in planned.numbers.items()) and not planned.item.resample
    if isinstance(source, Path) and stays and suffix_of(source) == suffix_of(target):
        write_bytes(target, source.read_bytes())
        return {}
    merged = _renumbered(mask, planned, classes)
    colours = {
        classes[planned.numbers[number]]: colour
        for number, colour in collection.colours.items()
        if number in planned.numbers
    }
    write_mask(target, merged, image, colours=colours)
    return {
        classes[planned.numbers[number]]: int((plane & (mask.array != number)).sum())
        for number, plane in mask.covered.items()
    }


def _renumbered(mask: MaskFile, planned: ItemPlan, classes: Mapping[int, str]) -> LabelMap:
    present = np.unique(mask.array[mask.array > 0]).tolist()
    unknown = [number for number in present if number not in planned.numbers]
    if unknown:
        raise LabelError(
            f"the mask of {planned.item.case_id} holds the label {unknown[0]}, which the classes "
            f"of the dataset ({', '.join(map(str, planned.numbers))}) do not name; name it"
        )
    top = max(classes)
    if top > 65535:
        raise LabelError(f"the label number {top} is above 65535; renumber the classes")
    array = np.zeros(mask.array.shape, np.uint8 if top < 256 else np.uint16)
    for number in present:
        array[mask.array == number] = planned.numbers[number]
    return LabelMap(array, dict(classes), {})


def _check_target(source: Path, out: Path) -> None:
    here, there = source.resolve(), out.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise ConfigError(f"{out} and {source} lie inside one another; choose another target")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; choose a folder")
    if out.exists() and not (out / MANIFEST).exists() and any(out.iterdir()):
        raise ConfigError(
            f"{out} is not empty and was not written by a conversion; choose another folder"
        )


def _former(out: Path) -> dict[str, Any]:
    manifest = out / MANIFEST
    if not manifest.exists():
        return {}
    cases = read_json(manifest, FORMAT, VERSION).get("cases")
    return cases if isinstance(cases, dict) else {}


def _stamp(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns

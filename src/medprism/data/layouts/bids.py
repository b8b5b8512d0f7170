"""BIDS: images below sub-*, masks as a derivative (`_dseg.nii.gz` with `_dseg.tsv`).

https://bids-specification.readthedocs.io/en/stable/derivatives/imaging.html
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from medprism.core.errors import ImageReadError, LabelError
from medprism.data.case import SPLITS
from medprism.data.layouts.collection import (
    ASIDE,
    ChannelFile,
    Collection,
    Item,
    describe,
    read_document,
    with_aside,
)
from medprism.data.layouts.image_file import suffix_of
from medprism.data.layouts.plan import ImageTarget, ItemPlan, Plan
from medprism.io.mask_file import Colour

_MASK: Final = "_dseg"
_DERIVATIVE: Final = "derivatives/medprism"
# Entities of a mask that its image does not have.
_OF_DERIVATIVES: Final = ("space", "res", "den", "desc", "seg", "atlas", "label", "hemi")
_SUFFIXES: Final = ("T1w", "T2w", "FLAIR", "PDw", "T2starw", "T1map", "T2map", "inplaneT1")
_ALPHANUMERIC: Final = re.compile(r"[^A-Za-z0-9]")
_VERSION: Final = "1.9.0"


def recognises(folder: Path) -> bool:
    """Say whether there is a dataset_description.json with masks below it."""
    return (folder / "dataset_description.json").is_file() and bool(_masks(folder))


def read(folder: Path) -> Collection:
    """Read masks with the images of the same subject, session and other entities.

    All images that match are channels of the case; images without any mask are left out.

    Raises:
        ImageReadError: a mask has no image.
        LabelError: a table or document is damaged, or two masks are about one image.
    """
    described = folder / "dataset_description.json"
    root = read_document(described)
    rows = _scans(folder)
    items: list[Item] = []
    classes: dict[int, str] = {}
    colours: dict[int, Colour] = {}
    documents = [described, *sorted(folder.glob("**/*.tsv"))]
    for mask in _masks(folder):
        channels = _images_of(mask, folder)
        row = rows.get(channels[0].relative_to(folder).as_posix(), {})
        subject = _entities(mask.name)["sub"]
        split = row.get("split")
        items.append(
            Item(
                case_id=row.get("source_id") or _prefix(mask.name),
                channels=tuple(map(ChannelFile, channels)),
                mask=mask,
                patient=row.get("patient") or subject,
                split=split if split in SPLITS else None,
            )
        )
        table = _table_of(mask, folder)
        if table is not None:
            _add_labels(table, classes, colours)
    twice = [item.case_id for item in items]
    if len(set(twice)) < len(twice):
        name = next(case for case in twice if twice.count(case) > 1)
        raise LabelError(f"{folder}: two masks are about {name!r}; keep one of them")
    ordered = tuple(sorted(items, key=lambda item: item.case_id))
    found = Collection(
        layout="bids",
        items=ordered,
        classes=dict(sorted(classes.items())),
        colours=colours,
        channel_names=tuple(_suffix(c.path.name) for c in ordered[0].channels),
        description=describe(root, (), name="Name", licence="License"),
        documents=tuple(documents),
    )
    patients = {item.case_id: item.patient for item in ordered}
    # Subjects stand for patients, so only the description is taken from aside.
    described_aside = with_aside(found, root, described)
    items_with_patients = tuple(
        replace(item, patient=patients[item.case_id]) for item in described_aside.items
    )
    return replace(described_aside, items=items_with_patients)


def plan(collection: Collection) -> Plan:
    """Lay out a subject a patient, a run a case, masks as a derivative."""
    names = _names(collection.items)
    labels = _channel_labels(collection)
    items = tuple(_item(item, names[item.case_id], labels, collection) for item in collection.items)
    suffixes = {suffix_of(c.path) for item in collection.items for c in item.channels}
    lost = [
        f"{suffix} files: their pixels are stored as NIfTI"
        for suffix in sorted(suffixes - {".nii.gz", ".nii"})
    ]
    nonstandard = [label for label in labels if label not in _SUFFIXES]
    aside = tuple(key for key in collection.aside() if key == "description")
    if nonstandard:
        aside = (*aside, f"the suffix {nonstandard[0]!r}, since BIDS has none for these images")
    return Plan(
        items,
        lambda folder: _documents(collection, items, names),
        collection.classes,
        tuple(lost),
        aside,
    )


@dataclass(frozen=True)
class _Name:
    subject: str
    run: int | None

    @property
    def stem(self) -> str:
        return f"sub-{self.subject}" + ("" if self.run is None else f"_run-{self.run:02d}")


def _names(items: Iterable[Item]) -> dict[str, _Name]:
    """Return subject and run of every case; labels are letters and digits, and stay apart."""
    by_patient: dict[str, list[str]] = {}
    for item in items:
        key = f"patient {item.patient}" if item.patient is not None else f"case {item.case_id}"
        by_patient.setdefault(key, []).append(item.case_id)
    used: set[str] = set()
    names: dict[str, _Name] = {}
    for key, cases in sorted(by_patient.items()):
        label = _ALPHANUMERIC.sub("", key.partition(" ")[2]) or "x"
        number = 1
        chosen = label
        # Some file systems do not tell capitals apart.
        while chosen.casefold() in used:
            number += 1
            chosen = f"{label}x{number}"
        used.add(chosen.casefold())
        for run, case in enumerate(sorted(cases), start=1):
            names[case] = _Name(chosen, run if len(cases) > 1 else None)
    return names


def _channel_labels(collection: Collection) -> tuple[str, ...]:
    count = max((len(item.channels) for item in collection.items), default=1)
    given = collection.channel_names if len(collection.channel_names) == count else ()
    if count == 1 and not given:
        modality = collection.description.modality or "image"
        given = (modality,)
    labels: list[str] = []
    for index in range(count):
        label = _ALPHANUMERIC.sub("", given[index]) if given else f"channel{index}"
        label = label or f"channel{index}"
        labels.append(f"{label}{index}" if label in labels else label)
    return tuple(labels)


def _item(item: Item, name: _Name, labels: tuple[str, ...], collection: Collection) -> ItemPlan:
    place = f"sub-{name.subject}/anat/{name.stem}"
    images = tuple(
        ImageTarget(f"{place}_{labels[channel]}.nii.gz", (channel,))
        for channel in range(len(item.channels))
    )
    mask = None if item.mask is None else f"{_DERIVATIVE}/{place}{_MASK}.nii.gz"
    return ItemPlan(item, images, mask, {number: number for number in collection.classes})


def _documents(
    collection: Collection, items: tuple[ItemPlan, ...], names: Mapping[str, _Name]
) -> dict[str, bytes]:
    description = collection.description
    title = description.name or description.slug or "dataset"
    root: dict[str, Any] = {"Name": title, "BIDSVersion": _VERSION, "DatasetType": "raw"}
    if description.licence is not None:
        root["License"] = description.licence
    if description.citation is not None:
        root["ReferencesAndLinks"] = [description.citation]
    said = collection.aside().get("description")
    if said:
        root[ASIDE] = {"description": said}
    derivative = {
        "Name": f"Masks of {title}",
        "BIDSVersion": _VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "medprism", "Version": version("medprism")}],
        "SourceDatasets": [{"URL": "bids::"}],
    }
    labels = [["index", "name", "color"]]
    for number, name in collection.classes.items():
        colour = collection.colours.get(number)
        shown = "n/a" if colour is None else "#{:02x}{:02x}{:02x}".format(*colour)
        labels.append([str(number), name, shown])
    subjects: dict[str, str | None] = {}
    scans: dict[str, list[list[str]]] = {}
    for planned in items:
        item, subject = planned.item, names[planned.item.case_id].subject
        subjects[subject] = item.patient
        table = scans.setdefault(subject, [["filename", "source_id", "patient", "split"]])
        for target in planned.images:
            file = target.path.removeprefix(f"sub-{subject}/")
            table.append([file, item.case_id, item.patient or "n/a", item.split or "n/a"])
    people = [["participant_id", "patient"]]
    people += [[f"sub-{subject}", patient or "n/a"] for subject, patient in subjects.items()]
    return {
        "dataset_description.json": json.dumps(root, indent=1).encode(),
        "participants.tsv": _tsv(people),
        f"{_DERIVATIVE}/dataset_description.json": json.dumps(derivative, indent=1).encode(),
        f"{_DERIVATIVE}/dseg.tsv": _tsv(labels),
        **{f"sub-{s}/sub-{s}_scans.tsv": _tsv(table) for s, table in scans.items()},
    }


def _tsv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _masks(folder: Path) -> list[Path]:
    found = (*folder.glob(f"**/*{_MASK}.nii.gz"), *folder.glob(f"**/*{_MASK}.nii"))
    return sorted(path for path in found if path.name.startswith("sub-"))


def _entities(name: str) -> dict[str, str]:
    parts = name.removesuffix(suffix_of(name)).split("_")
    return dict(part.split("-", 1) for part in parts if "-" in part)


def _prefix(name: str) -> str:
    """Return a name without suffix and without what only derivatives have.

    >>> _prefix("sub-1_ses-a_desc-manual_dseg.nii.gz")
    'sub-1_ses-a'
    """
    entities = _entities(name)
    return "_".join(f"{k}-{v}" for k, v in entities.items() if k not in _OF_DERIVATIVES)


def _suffix(name: str) -> str:
    return name.removesuffix(suffix_of(name)).rpartition("_")[2]


def _images_of(mask: Path, folder: Path) -> list[Path]:
    """Return the images that a mask is about: below the root, else beside the mask."""
    inner = mask.parent.relative_to(folder).parts
    start = next((i for i, part in enumerate(inner) if part.startswith("sub-")), len(inner))
    wanted = _prefix(mask.name)
    for place in (folder.joinpath(*inner[start:]), mask.parent):
        found = [
            path
            for path in sorted(place.glob("*.nii*"))
            if _prefix(path.name) == wanted
            and not path.name.endswith((f"{_MASK}.nii.gz", f"{_MASK}.nii"))
            and _suffix(path.name) not in ("probseg", "mask")
        ]
        if found:
            return found
    raise ImageReadError(
        f"{mask} has no image: there is no {wanted}_*.nii.gz in "
        f"{folder.joinpath(*inner[start:])}, nor beside it"
    )


def _table_of(mask: Path, folder: Path) -> Path | None:
    """Return the table of labels: beside the mask, else the next one upwards."""
    own = mask.with_name(f"{mask.name.removesuffix(suffix_of(mask))}.tsv")
    if own.is_file():
        return own
    for place in (mask.parent, *mask.parent.parents):
        tables = sorted(place.glob("*dseg.tsv"))
        if tables:
            return tables[0]
        if place == folder:
            break
    return None


def _add_labels(path: Path, classes: dict[int, str], colours: dict[int, Colour]) -> None:
    for row in _rows(path):
        number, name = row.get("index", ""), row.get("name", "")
        if not number.isdecimal() or not name:
            raise LabelError(f"{path}: the row {row} needs an index and a name; mend it")
        if int(number) == 0:
            continue
        if classes.setdefault(int(number), name) != name:
            raise LabelError(
                f"{path} names {number} {name!r}, another table {classes[int(number)]!r}; make "
                "them agree"
            )
        match = re.fullmatch(r"#([0-9a-fA-F]{6})(?:[0-9a-fA-F]{2})?", row.get("color", ""))
        if match:
            red, green, blue = bytes.fromhex(match[1])
            colours[int(number)] = (red, green, blue)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        return [
            {key: value or "" for key, value in row.items() if isinstance(key, str)}
            for row in csv.DictReader(text.splitlines(), delimiter="\t")
        ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"{path} cannot be read as a table ({error}); mend it") from error


def _scans(folder: Path) -> dict[str, dict[str, str]]:
    """Return image file -> what *_scans.tsv says about it; "n/a" says nothing."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(folder.glob("sub-*/**/*_scans.tsv")):
        place = path.parent.relative_to(folder)
        for row in _rows(path):
            said = {key: value for key, value in row.items() if value not in ("", "n/a")}
            found[(place / said.pop("filename", "")).as_posix()] = said
    return found

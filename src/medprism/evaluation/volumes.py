"""Whole volumes through a session: Dice, HD95 and NSD in mm, by class and by reference slices."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool

from medprism.core.durable import make_folder
from medprism.core.errors import CancelledError, ConfigError, LabelError, StoreError
from medprism.core.progress import Progress, SilentProgress
from medprism.core.randomness import counter_rng
from medprism.data.case import SPLITS, Dataset, DatasetInfo
from medprism.engines.loaded import LoadedModel
from medprism.evaluation.benchmark import cell_path, finished_cell
from medprism.evaluation.cases import Target, targets_in
from medprism.evaluation.examiners import identity_of, method_name
from medprism.evaluation.facts import OTHER, UNKNOWN_PATIENTS, DatasetFacts, role_in
from medprism.evaluation.protocols import EXAMPLE, Stopwatch, class_name
from medprism.evaluation.references import nearest_slices
from medprism.evaluation.results import Cell, ResultRow, write_cell
from medprism.evaluation.shots import POSITIONS
from medprism.evaluation.volume_ledger import ExaminedVolume, VolumeLedger
from medprism.evaluation.whole_volume import VolumeFolder, WholeVolume, other_volumes
from medprism.inference.prediction import Prediction
from medprism.inference.session import Session
from medprism.metrics.dice import dice_of_counts
from medprism.metrics.overlap import count_overlap
from medprism.metrics.surface import surface_score

VOLUME_SEMANTIC: Final = "volume-semantic"
VOLUME_IN_CONTEXT: Final = "volume-in-context"

_Truths = Mapping[Target, Bool[np.ndarray, "slices height width"]]


@dataclass(frozen=True, kw_only=True)
class VolumeSettings:
    """Which volumes are examined (`limit`: a seeded choice), and how.

    `shots` slices of one other volume are shown, at the positions of `shots.POSITIONS`. Borders
    within `tolerance_mm` count as right for NSD.
    """

    split: str = "test"
    limit: int | None = None
    shots: int = 1
    tolerance_mm: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.split not in SPLITS or self.shots not in POSITIONS:
            raise ConfigError(
                f"split {self.split!r} with {self.shots} shots; choose one of {', '.join(SPLITS)} "
                f"and of {', '.join(map(str, POSITIONS))}"
            )
        if self.tolerance_mm < 0 or (self.limit is not None and self.limit < 1):
            raise ConfigError(
                f"tolerance of {self.tolerance_mm} mm and limit of {self.limit} volumes; give at "
                "least 0 mm and 1 volume"
            )


class VolumeExaminer:
    """Asks a session for every structure that a volume shows."""

    def __init__(
        self,
        model: LoadedModel,
        folder: VolumeFolder,
        settings: VolumeSettings | None = None,
        *,
        auto_zoom: bool = True,
    ) -> None:
        self.name = method_name(model)
        self._session = Session(model, auto_zoom=auto_zoom)
        self._folder = folder
        self._settings = settings or VolumeSettings()
        self._zoom = auto_zoom
        self._targets = targets_in(folder.dataset.info, model.concepts)

    def identity(self) -> dict[str, Any]:
        """Return weights, engine and settings."""
        return {
            **identity_of(self._session.model, auto_zoom=self._zoom),
            "grid": "each volume's own grid",
            **asdict(self._settings),
        }

    def examine(self, name: str) -> list[ResultRow]:
        """Return the rows of a volume, of the protocols that the model can take part in.

        Of volumes without physical spacing they have no `surface`.
        """
        volume = self._folder.volume(name)
        truths = {target: volume.truth(target) for target in self._targets if volume.shown(target)}
        accepts = self._session.model.segmenter.accepts
        rows = list(self._by_class(volume, truths)) if accepts.classes else []
        return rows + (list(self._in_context(volume, truths)) if accepts.references else [])

    def _by_class(self, volume: WholeVolume, truths: _Truths) -> Iterator[ResultRow]:
        concepts = self._session.model.concepts
        asked = {
            target: name
            for target in truths
            if (name := class_name(concepts, target.concept)) is not None
        }
        if not asked:
            return
        self._session.set_image(volume.image)
        with Stopwatch() as watch:
            found = self._session.predict(classes=list(asked.values()))
        for target, name in asked.items():
            how = (VOLUME_SEMANTIC, watch.seconds / len(asked), ())
            yield self._row(volume, target, truths[target], found[name], how)

    def _in_context(self, volume: WholeVolume, truths: _Truths) -> Iterator[ResultRow]:
        for target, truth in truths.items():
            masks = self._reference(volume, target)
            if masks is None:
                continue
            other, planes = masks
            self._session.set_image(volume.image)
            self._session.set_references([other.image] * len(planes), planes, label=EXAMPLE)
            with Stopwatch() as watch:
                found = self._session.predict(labels=[EXAMPLE])[EXAMPLE]
            how = (VOLUME_IN_CONTEXT, watch.seconds, (len(planes),))
            yield self._row(volume, target, truth, found, how)

    def _reference(
        self, volume: WholeVolume, target: Target
    ) -> tuple[WholeVolume, list[Bool[np.ndarray, "slices height width"]]] | None:
        """Return another patient's volume, and its mask on one of the chosen slices at a time."""
        for name in other_volumes(self._folder, volume.name, target, self._settings.seed):
            other = self._folder.volume(name)
            shown = other.shown(target)
            is_own = other.patient is not None and other.patient == volume.patient
            if is_own or not shown or other.image.digest == volume.image.digest:
                continue
            places = POSITIONS[self._settings.shots]
            chosen = nearest_slices({index: index for index in shown}, places)
            truth = other.truth(target)
            planes = [np.zeros_like(truth) for _ in chosen]
            for plane, index in zip(planes, chosen, strict=True):
                plane[index] = truth[index]
            return other, planes
        return None

    def _row(
        self,
        volume: WholeVolume,
        target: Target,
        truth: Bool[np.ndarray, "slices height width"],
        found: Prediction,
        how: tuple[str, float, tuple[int, ...]],
    ) -> ResultRow:
        """Score a mask; `how` is (protocol, seconds, references)."""
        info, geometry = self._folder.dataset.info, volume.image.geometry
        overlap = count_overlap(found.mask, truth)
        tolerance = self._settings.tolerance_mm
        return ResultRow(
            dataset=info.name,
            role=role_in(info.name, info.role, target.concept),
            split=volume.split,
            case=volume.name,
            patient=volume.patient,
            volume=volume.name,
            concept=target.concept,
            method=self.name,
            protocol=how[0],
            values=(dice_of_counts(overlap),),
            overlap=overlap,
            presence=found.presence,
            milliseconds=1000 * how[1],
            shots=how[2],
            pixels=truth.size,
            surface=surface_score(found.mask, truth, geometry.spacing, tolerance)
            if geometry.is_physical
            else None,
        )


def examine_volumes(
    model: LoadedModel,
    dataset: Dataset,
    out: Path,
    settings: VolumeSettings | None = None,
    progress: Progress | None = None,
    *,
    auto_zoom: bool = True,
) -> Cell:
    """Examine the volumes of a dataset and write their cell to a folder of its own.

    A cell that is there already is read instead, if it was made by the same method with the same
    settings on the same files. Finished volumes of a set that was interrupted are kept as well. The
    cell's facts count volumes, and patients of the examined ones.

    Raises:
        StoreError: no volume in the split, a picture among them, no structure on any of them, or
            another cell in its place.
        LabelError: the dataset names no classes, or none that the model could be asked for.
        CancelledError: the progress asked to stop; finished volumes are kept.
    """
    progress, settings = progress or SilentProgress(), settings or VolumeSettings()
    folder = VolumeFolder(dataset)
    examiner, info = VolumeExaminer(model, folder, settings, auto_zoom=auto_zoom), dataset.info
    _refuse_unanswerable(model, info)
    names = folder.names(settings.split)
    if not names:
        raise StoreError(f"{info.name} has no {settings.split} volume; choose another split")
    chosen = _choose(names, info.name, settings)
    make_folder(out)
    path = cell_path(out, examiner.name, info.name)
    signature = {**examiner.identity(), "volumes": _digest(folder, chosen)}
    finished = finished_cell(path, signature)
    if finished is not None:
        return finished
    ledger = VolumeLedger(path, signature)
    done: list[ExaminedVolume] = []
    for name in chosen:
        if progress.is_cancelled():
            raise CancelledError(
                f"evaluation was cancelled in {info.name}; finished volumes are kept, run it again "
                "to go on"
            )
        progress.report(len(done), len(chosen), f"{info.name}, {name}")
        done.append(_examined(examiner, folder, name, ledger))
    progress.report(len(done), len(chosen), info.name)
    cell = Cell(
        _facts(dataset, settings.split, len(names), done),
        examiner.name,
        signature,
        tuple(row for volume in done for row in volume.rows),
    )
    if not cell.rows:
        raise StoreError(
            f"none of the {len(chosen)} {settings.split} volumes of {info.name} shows a structure "
            f"that {examiner.name} could be asked for; check masks and classes"
        )
    write_cell(path, cell)
    ledger.close()
    return cell


def lacking_classes(model: LoadedModel, info: DatasetInfo) -> tuple[str, ...]:
    """Return the structures of a dataset that a model's class table does not have."""
    targets = targets_in(info, model.concepts)
    return tuple(
        target.concept for target in targets if class_name(model.concepts, target.concept) is None
    )


def _refuse_unanswerable(model: LoadedModel, info: DatasetInfo) -> None:
    names = [target.concept for target in targets_in(info, model.concepts)]
    if not names:
        raise LabelError(
            f"{info.name} names no classes; write them into its dataset.json, as in "
            '"classes": {"1": "liver"}'
        )
    accepts, lacking = model.segmenter.accepts, lacking_classes(model, info)
    if not accepts.references and (not accepts.classes or len(lacking) == len(names)):
        raise LabelError(
            f"{method_name(model)} cannot be asked for any of {', '.join(names)} of {info.name}: "
            "it takes no references and has none of these classes; give a model that was trained "
            "on one of them (see: medprism models)"
        )


def _examined(
    examiner: VolumeExaminer, folder: VolumeFolder, name: str, ledger: VolumeLedger
) -> ExaminedVolume:
    found = ledger.find(name)
    if found is None:
        rows = tuple(examiner.examine(name))
        found = ExaminedVolume(folder.volume(name).patient, rows)
        ledger.add(name, found)
    return found


def _facts(
    dataset: Dataset, split: str, num_volumes: int, examined: Sequence[ExaminedVolume]
) -> DatasetFacts:
    info, patients = dataset.info, [volume.patient for volume in examined]
    return DatasetFacts(
        dataset=info.name,
        title=info.title,
        role=info.role,
        split=split,
        kind=info.modality or OTHER,
        num_images=num_volumes,
        num_examined=len(examined),
        num_patients=len({patient or place for place, patient in enumerate(patients)}),
        knows_patients=info.name not in UNKNOWN_PATIENTS and all(patients),
    )


def _choose(names: tuple[str, ...], dataset: str, settings: VolumeSettings) -> tuple[str, ...]:
    order = counter_rng(settings.seed, dataset, settings.split, "volumes").permutation(len(names))
    return tuple(names[place] for place in sorted(order[: settings.limit].tolist()))


def _digest(folder: VolumeFolder, names: tuple[str, ...]) -> str:
    sha = hashlib.sha256()
    for name in names:
        sizes = [path.stat().st_size for path in folder.pieces[name].files if path.is_file()]
        sha.update(f"{name} {sizes}".encode())
    return sha.hexdigest()[:16]

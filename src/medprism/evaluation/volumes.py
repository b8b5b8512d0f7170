"""Whole volumes through a session: Dice, HD95 and NSD in mm, by class and by reference slices."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool

from medprism.core.durable import make_folder
from medprism.core.errors import CancelledError, ConfigError, StoreError
from medprism.core.progress import Progress, SilentProgress
from medprism.core.randomness import counter_rng
from medprism.data.case import SPLITS, Dataset
from medprism.engines.loaded import LoadedModel
from medprism.evaluation.benchmark import cell_path, finished_cell
from medprism.evaluation.cases import Target, targets_in
from medprism.evaluation.facts import OTHER, UNKNOWN_PATIENTS, DatasetFacts, role_in
from medprism.evaluation.protocols import EXAMPLE, Stopwatch, class_name
from medprism.evaluation.references import nearest_slices
from medprism.evaluation.results import Cell, ResultRow, write_cell
from medprism.evaluation.shots import POSITIONS
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
        self.name = Path(model.name).stem
        self._session = Session(model, auto_zoom=auto_zoom)
        self._folder = folder
        self._settings = settings or VolumeSettings()
        self._zoom = auto_zoom
        self._targets = targets_in(folder.dataset.info, model.concepts)

    def identity(self) -> dict[str, Any]:
        """Return weights, engine and settings."""
        model = self._session.model
        return {
            "method": self.name,
            "weights": model.weights_hash,
            "long_side": model.long_side,
            "engine": model.engine,
            "auto_zoom": self._zoom,
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
) -> Cell:
    """Examine the volumes of a dataset and write their cell to a folder of its own.

    A cell that is there already is read instead, if it was made by the same method with the same
    settings on the same files. Its facts count volumes, and patients of the examined ones.

    Raises:
        StoreError: no volume in the split, a picture among them, or another cell in its place.
        CancelledError: the progress asked to stop; nothing is kept of the set.
    """
    progress, settings = progress or SilentProgress(), settings or VolumeSettings()
    folder = VolumeFolder(dataset)
    examiner, info = VolumeExaminer(model, folder, settings), dataset.info
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
    rows: list[ResultRow] = []
    patients: list[str | None] = []
    for done, name in enumerate(chosen):
        if progress.is_cancelled():
            raise CancelledError(f"evaluation was cancelled in {info.name}; run it again")
        progress.report(done, len(chosen), info.name)
        rows.extend(examiner.examine(name))
        patients.append(folder.volume(name).patient)
    facts = DatasetFacts(
        dataset=info.name,
        title=info.title,
        role=info.role,
        split=settings.split,
        kind=info.modality or OTHER,
        num_images=len(names),
        num_examined=len(chosen),
        num_patients=len({patient or name for patient, name in zip(patients, chosen, strict=True)}),
        knows_patients=info.name not in UNKNOWN_PATIENTS and all(patients),
    )
    cell = Cell(facts, examiner.name, signature, tuple(rows))
    write_cell(path, cell)
    return cell


def _choose(names: tuple[str, ...], dataset: str, settings: VolumeSettings) -> tuple[str, ...]:
    order = counter_rng(settings.seed, dataset, settings.split, "volumes").permutation(len(names))
    return tuple(names[place] for place in sorted(order[: settings.limit].tolist()))


def _digest(folder: VolumeFolder, names: tuple[str, ...]) -> str:
    sha = hashlib.sha256()
    for name in names:
        sizes = [path.stat().st_size for path in folder.pieces[name].files if path.is_file()]
        sha.update(f"{name} {sizes}".encode())
    return sha.hexdigest()[:16]

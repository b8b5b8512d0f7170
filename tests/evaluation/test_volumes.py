from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

from medprism.core.errors import CancelledError, ConfigError, LabelError, StoreError
from medprism.data.case import Dataset
from medprism.data.datasets.adapters import open_dataset
from medprism.evaluation.cases import targets_in
from medprism.evaluation.measures import MEASURES, rows_for
from medprism.evaluation.results import ResultRow
from medprism.evaluation.volumes import (
    VOLUME_IN_CONTEXT,
    VOLUME_SEMANTIC,
    VolumeExaminer,
    VolumeSettings,
    examine_volumes,
    lacking_classes,
)
from medprism.evaluation.whole_volume import VolumeFolder, other_volumes
from medprism.inference.session import Session
from medprism.metrics.dice import dice
from medprism.models.segmenter import Accepts
from tests.evaluation.phantoms import scene_model, write_scans
from tests.inference.fake_segmenter import CountingSegmenter

# MONAI 1.6 calls its own deprecated option.
pytestmark = pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("volumes")
    return open_dataset(write_scans(root / "scans"), root / "splits")


def rows_of(scans: Dataset, name: str, **settings: object) -> dict[tuple[str, str], ResultRow]:
    wanted = VolumeSettings(**settings)  # type: ignore[arg-type]
    examiner = VolumeExaminer(scene_model("scans"), VolumeFolder(scans), wanted)
    rows = examiner.examine(name)
    found = {(row.protocol, row.concept): row for row in rows}
    assert len(found) == len(rows)
    return found


def _as_monai(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(mask)[None, None].float()


def test_volumes_are_scored_in_three_dimensions_and_mm_as_monai_does(scans: Dataset) -> None:
    volume = VolumeFolder(scans).volume("b")
    model = scene_model("scans")
    rows = rows_of(scans, "b", tolerance_mm=1.0)
    session = Session(model)
    session.set_image(volume.image)
    spacing = list(volume.image.geometry.spacing)
    for target in targets_in(scans.info, model.concepts):
        row, truth = rows[VOLUME_SEMANTIC, target.concept], volume.truth(target)
        mask = session.predict(classes=[target.concept])[target.concept].mask
        assert row.values == (dice(mask, truth),)
        assert (row.overlap.mask, row.overlap.reference) == (mask.sum(), truth.sum())
        pair = (_as_monai(mask), _as_monai(truth))
        distance = compute_hausdorff_distance(
            *pair, include_background=True, percentile=95, spacing=spacing
        )
        near = compute_surface_dice(
            *pair, class_thresholds=[1.0], include_background=True, spacing=spacing
        )
        assert row.surface is not None
        assert row.surface.hausdorff_95 == pytest.approx(distance.item(), rel=1e-5)
        assert row.surface.dice == pytest.approx(near.item(), rel=1e-5)
        assert 0 < row.surface.dice < 1
        assert (row.case, row.volume, row.patient, row.split) == ("b", "b", "p", "train")


def test_a_reference_is_a_slice_of_another_patient_in_the_middle_of_the_structure(
    scans: Dataset,
) -> None:
    folder, model = VolumeFolder(scans), scene_model("scans")
    query = folder.volume("a")
    for shots, expected in ((1, {"liver": (3,), "left kidney": (2,), "polyp": (0,)}), (3, None)):
        # c lacks the kidney, and so every seed takes d for it.
        rows = rows_of(scans, "a", shots=shots, seed=next(_seeds_with_d(folder)))
        for target in targets_in(scans.info, model.concepts):
            truth = folder.volume("d").truth(target)
            chosen = _literal_slices(truth, shots)
            if expected is not None:
                assert chosen == expected[target.concept]
            session = Session(model)
            session.set_image(query.image)
            for index in chosen:
                only = np.zeros_like(truth)
                only[index] = truth[index]
                session.add_reference(folder.volume("d").image, only, "x")
            mask = session.predict(labels=["x"])["x"].mask
            row = rows[VOLUME_IN_CONTEXT, target.concept]
            assert row.values == (dice(mask, query.truth(target)),)
            assert row.shots == (len(chosen),)


def _seeds_with_d(folder: VolumeFolder) -> Iterator[int]:
    """Yield seeds for which d comes before c for all structures."""
    targets = targets_in(folder.dataset.info, scene_model("scans").concepts)
    for seed in range(400):
        orders = [other_volumes(folder, "a", target, seed) for target in targets]
        if all(order.index("d") < order.index("c") for order in orders):
            yield seed


def _literal_slices(truth: np.ndarray, shots: int) -> tuple[int, ...]:
    shown = np.flatnonzero(truth.any((1, 2)))
    chosen: list[int] = []
    for share in {1: (0.5,), 3: (0.2, 0.5, 0.8)}[shots]:
        distance = np.abs(shown - (shown[0] + share * (shown[-1] - shown[0])))
        chosen.append(int(shown[np.argmin(distance)]))
    return tuple(sorted(set(chosen)))


def test_without_another_patient_there_is_no_reference(scans: Dataset) -> None:
    rows = rows_of(scans, "c")
    assert {concept for protocol, concept in rows if protocol == VOLUME_IN_CONTEXT} == {
        "liver",
        "polyp",
    }
    assert all(row.concept != "left kidney" for row in rows.values())
    alone = replace(scans, patients=dict.fromkeys("abcd", "p"))  # type: ignore[type-var]
    assert {protocol for protocol, _ in rows_of(alone, "a")} == {VOLUME_SEMANTIC}


def test_models_are_asked_only_what_they_accept(scans: Dataset) -> None:
    for accepts, protocol in (
        (Accepts(classes=True, references=False, clicks=True), VOLUME_SEMANTIC),
        (Accepts(classes=False, references=True, clicks=True), VOLUME_IN_CONTEXT),
    ):
        model = scene_model("scans", segmenter=CountingSegmenter(accepts))
        rows = VolumeExaminer(model, VolumeFolder(scans)).examine("a")
        assert {row.protocol for row in rows} == {protocol}


def test_a_volume_without_spacing_has_dice_alone(scans: Dataset) -> None:
    folder = VolumeFolder(scans)
    volume = folder.volume("a")
    flat = replace(volume.image.geometry, is_physical=False)
    unknown = replace(volume, image=replace(volume.image, geometry=flat))
    folder.volume = {"a": unknown, "d": folder.volume("d"), "c": folder.volume("c")}.__getitem__  # type: ignore[assignment,method-assign]
    folder.pieces.pop("b")
    rows = VolumeExaminer(scene_model("scans"), folder).examine("a")
    assert rows
    assert all(row.surface is None and row.values[0] > 0.3 for row in rows)
    assert rows_for("volume HD95", rows, {}) == []
    assert len(rows_for("volume Dice", rows, {})) == 3


def test_results_are_written_read_again_and_measured(scans: Dataset, tmp_path: Path) -> None:
    model = scene_model("scans")
    cell = examine_volumes(model, scans, tmp_path, VolumeSettings(split="train", limit=2))
    assert (cell.facts.num_images, cell.facts.num_examined) == (3, 2)
    assert cell.facts.knows_patients
    again = examine_volumes(model, scans, tmp_path, VolumeSettings(split="train", limit=2))
    assert again == cell
    for name in ("Dice", "HD95", "NSD"):
        for by in ("", " by reference"):
            measure = f"volume {name}{by}"
            rows = rows_for(measure, cell.rows, cell.plan)
            assert rows
            values = [MEASURES[measure].of(row) for row in rows]
            assert all(value > 0 for value in values)
    with pytest.raises(StoreError, match="tolerance_mm"):
        other = VolumeSettings(split="train", limit=2, tolerance_mm=0.5)
        examine_volumes(model, scans, tmp_path, other)


def test_what_cannot_be_done_is_said(scans: Dataset, tmp_path: Path) -> None:
    class Impatient:
        def report(self, done: int, total: int, message: str = "") -> None: ...

        def is_cancelled(self) -> bool:
            return True

    model = scene_model("scans")
    with pytest.raises(StoreError, match="scans has no val volume"):
        examine_volumes(model, scans, tmp_path, VolumeSettings(split="val"))
    with pytest.raises(CancelledError, match="cancelled in scans"):
        examine_volumes(model, scans, tmp_path, progress=Impatient())
    assert list(tmp_path.iterdir()) == []
    for wrong in ({"split": "odd"}, {"shots": 2}, {"tolerance_mm": -1.0}, {"limit": 0}):
        with pytest.raises(ConfigError):
            VolumeSettings(**wrong)  # type: ignore[arg-type]


def test_volumes_that_were_finished_before_a_stop_are_not_examined_again(
    scans: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AfterOne:
        def __init__(self) -> None:
            self.reports: list[int] = []

        def report(self, done: int, total: int, message: str = "") -> None:
            self.reports.append(done)

        def is_cancelled(self) -> bool:
            return len(self.reports) == 1

    model, settings = scene_model("scans"), VolumeSettings(split="train")
    with pytest.raises(CancelledError, match="finished volumes are kept"):
        examine_volumes(model, scans, tmp_path, settings, AfterOne())
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    examine, asked = VolumeExaminer.examine, []

    def counted(self: VolumeExaminer, name: str) -> list[ResultRow]:
        asked.append(name)
        return examine(self, name)

    monkeypatch.setattr(VolumeExaminer, "examine", counted)
    cell = examine_volumes(model, scans, tmp_path, settings)
    assert asked == ["c", "d"]
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]
    monkeypatch.undo()
    whole = examine_volumes(model, scans, tmp_path / "whole", settings)
    times = {row.milliseconds for row in (*cell.rows, *whole.rows)}
    assert len(times) > 1
    assert [replace(row, milliseconds=0.0) for row in cell.rows] == [
        replace(row, milliseconds=0.0) for row in whole.rows
    ]
    assert cell.facts == whole.facts


def test_structures_that_a_model_lacks_are_named_and_no_answer_at_all_is_refused(
    scans: Dataset, tmp_path: Path
) -> None:
    info = replace(scans.info, classes={1: "hook", 2: "liver", 3: "flag"})
    other = replace(scans, info=info)  # type: ignore[type-var]
    assert lacking_classes(scene_model(), info) == ("hook", "flag")
    by_class = CountingSegmenter(Accepts(classes=True, references=False, clicks=True))
    rows = examine_volumes(scene_model(segmenter=by_class), other, tmp_path / "some").rows
    assert {row.concept for row in rows} == {"liver"}
    strange = replace(scans, info=replace(info, classes={1: "hook", 3: "flag"}))  # type: ignore[type-var]
    with pytest.raises(LabelError, match="cannot be asked for any of hook, flag of scans"):
        examine_volumes(scene_model(segmenter=by_class), strange, tmp_path / "none")
    with pytest.raises(LabelError, match="scans names no classes"):
        nameless = replace(scans, info=replace(info, classes={}))  # type: ignore[type-var]
        examine_volumes(scene_model(), nameless, tmp_path / "none")
    assert not (tmp_path / "none").exists()

"""A task from references, on disk, and used on a volume of another orientation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from medprism.core.errors import (
    CheckpointError,
    ConfigError,
    FormatVersionError,
    GeometryError,
    LabelError,
    ReferencePairError,
)
from medprism.core.image import Image
from medprism.engines.iris import LoadedIris, load_iris
from medprism.inference.iris.encoding import encode_task
from medprism.inference.iris.segmentation import STRATEGIES, segment_by_task, tasks_of_bank
from medprism.inference.iris.task_file import Task, load_task, save_task
from medprism.models.checkpoint import load_checkpoint, save_checkpoint
from medprism.models.iris.tuning import TuningSettings

from .nano import NAMES, load_nano, make_reference


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedIris:
    return load_nano(tmp_path_factory.mktemp("nano"))


@pytest.fixture(scope="module")
def task(loaded: LoadedIris) -> Task:
    return encode_task(loaded, [make_reference(0), make_reference(1)], NAMES)


def test_a_task_survives_its_file(task: Task, tmp_path: Path) -> None:
    save_task(tmp_path / "both.task", task)
    again = load_task(tmp_path / "both.task")
    assert again.classes == NAMES
    assert again.sources == ("case0", "case1")
    assert again.spacing == task.spacing == 1.25
    assert torch.equal(again.pool.tokens, task.pool.tokens)
    assert torch.equal(again.described, task.described)
    chosen = again.select(NAMES[::-1])
    assert torch.equal(chosen.pool.tokens[:, 0], task.pool.tokens[:, 1])
    with pytest.raises(LabelError, match="no class 'liver'"):
        again.select(("liver",))


def test_a_damaged_or_foreign_file_says_so(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "both.task"
    with pytest.raises(CheckpointError, match="no task file"):
        load_task(path)
    save_task(path, task)
    whole = path.read_bytes()
    for length in (0, 5, 60, len(whole) - 7):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="not a whole task file"):
            load_task(path)
    path.write_bytes(whole)
    tensors = load_file(path)

    def rewrite(**changes: object) -> None:
        save_task(path, task)
        header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
        document = {**json.loads(header["__metadata__"]["medprism"]), **changes}
        save_file(tensors, path, {"medprism": json.dumps(document)})

    for changes, error, words in (
        ({"version": 9}, FormatVersionError, "update medprism"),
        ({"format": "other"}, CheckpointError, "choose another file"),
        ({"classes": ["one"]}, CheckpointError, "no usable task"),
        ({"spacing_mm": -1.0}, CheckpointError, "no usable task"),
        ({"sources": 3}, CheckpointError, "no usable task"),
    ):
        rewrite(**changes)
        with pytest.raises(error, match=words):
            load_task(path)


def test_a_task_of_another_model_is_refused(task: Task, tmp_path: Path) -> None:
    other = load_nano(tmp_path, seed=2)
    with pytest.raises(CheckpointError, match="was encoded with the weights"):
        segment_by_task(other, make_reference(3).image, task)


def test_a_class_that_no_reference_shows_is_refused(loaded: LoadedIris) -> None:
    reference = make_reference(0)
    empty = replace(reference, masks={NAMES[0]: reference.masks[NAMES[0]]})
    with pytest.raises(ReferencePairError, match="shows 'dark bar'"):
        encode_task(loaded, [empty], NAMES)
    both = encode_task(loaded, [empty, make_reference(1)], NAMES)
    assert both.pool.present.tolist() == [[True, False], [True, True]]
    with pytest.raises(ReferencePairError, match="at least one reference"):
        encode_task(loaded, [], NAMES)
    wrong = replace(reference, masks={NAMES[0]: np.ones((3, 4, 5), bool)})
    with pytest.raises(GeometryError, match="has shape"):
        encode_task(loaded, [wrong], NAMES[:1])


def test_references_of_other_spacings_come_to_one_grid(loaded: LoadedIris) -> None:
    mixed = [make_reference(0), make_reference(1, (2.0, 1.0, 1.0))]
    task = encode_task(loaded, mixed, NAMES)
    assert 1.0 <= task.spacing <= 1.5
    alone = encode_task(loaded, mixed[1:], NAMES, spacing=task.spacing)
    torch.testing.assert_close(task.pool.tokens[1:], alone.pool.tokens)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_masks_come_back_on_the_grid_of_the_image(
    loaded: LoadedIris, task: Task, strategy: str
) -> None:
    straight = make_reference(5).image
    # The same volume, stored with its first axis the other way round and the others exchanged.
    affine = straight.geometry.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (straight.geometry.shape[0] - 1)
    affine[:3, 0] *= -1
    affine = affine[:, [0, 2, 1, 3]]
    turned = np.ascontiguousarray(straight.voxels[::-1, :, :, 0].transpose(0, 2, 1))
    other = Image.from_array(turned, affine=affine, modality="MR")
    one = segment_by_task(loaded, straight, task, strategy, keep=1)  # type: ignore[arg-type]
    two = segment_by_task(loaded, other, task, strategy, keep=1)  # type: ignore[arg-type]
    assert one.logits.shape == (2, *straight.geometry.shape)
    back = two.logits.transpose(0, 1, 3, 2)[:, ::-1]
    np.testing.assert_allclose(back, one.logits, atol=1e-4)
    exclusive = one.exclusive_masks()
    assert not (exclusive[NAMES[0]] & exclusive[NAMES[1]]).any()


def test_tuning_leaves_one_row_that_fits_the_references_better(
    loaded: LoadedIris, task: Task
) -> None:
    references = [make_reference(0), make_reference(1)]
    tuned = encode_task(loaded, references, NAMES, tuning=TuningSettings(steps=4))
    assert tuned.is_tuned
    assert tuned.pool.num_rows == len(tuned.described) == len(tuned.sources) == 1
    assert not torch.equal(tuned.pool.tokens, task.pool.tokens.mean(0, keepdim=True))
    found = segment_by_task(loaded, make_reference(4).image, tuned, "objects")
    assert np.isfinite(found.logits).all()


def test_the_bank_answers_for_seen_classes_only(loaded: LoadedIris) -> None:
    (task,) = tasks_of_bank(loaded, ["Bright Hook"])
    assert task.classes == NAMES[:1]
    assert task.spacing == 1.25
    with pytest.raises(LabelError, match="training never showed"):
        tasks_of_bank(loaded, ["dark bar"])
    with pytest.raises(LabelError, match="unknown class"):
        tasks_of_bank(loaded, ["liver"])


def test_what_is_no_volume_is_refused(loaded: LoadedIris, task: Task) -> None:
    with pytest.raises(GeometryError, match="knows no spacing"):
        segment_by_task(loaded, Image.from_array(np.zeros((5, 6, 7))), task)
    with pytest.raises(ConfigError, match="at least one reference must be kept"):
        segment_by_task(loaded, make_reference(0).image, task, "images", keep=0)


def test_what_is_no_model_of_volumes_is_refused(loaded: LoadedIris, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="'iris-base' ships no weights"):
        load_iris("iris-base")
    with pytest.raises(CheckpointError, match="iris-compact"):
        load_iris("iris-colossal")
    checkpoint = load_checkpoint(Path(loaded.name))
    path = tmp_path / "bare.safetensors"
    save_checkpoint(path, replace(checkpoint.info, preprocessing={}), checkpoint.tensors)
    with pytest.raises(CheckpointError, match="does not say how volumes"):
        load_iris(path)
    with pytest.raises(ConfigError, match="threads"):
        load_iris(loaded.name, threads=0)

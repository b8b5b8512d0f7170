"""What was accepted in the workbench is what Iris encodes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from medprism.apps.project_references import holds_project, read_project_references
from medprism.apps.volume_references import read_volume_references
from medprism.core.errors import ConfigError, LabelError, ReferencePairError
from medprism.core.image import Image
from medprism.inference.iris.encoding import encode_task, references_of_bank
from medprism.inference.reference_bank import Reference, ReferenceBank
from medprism.io.reader import read_mask
from medprism.project.masks import Accepting
from medprism.project.project import Project
from medprism.project.shelf import ImageShelf
from tests.data.volume_phantoms import write_phantom_set
from tests.inference.iris.nano import NAMES, load_nano
from tests.inference.phantom import scene


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a finished set, and a project in which its volumes were accepted."""
    folder = tmp_path_factory.mktemp("project")
    finished = write_phantom_set(folder / "set", 2)
    scans = folder / "scans"
    scans.mkdir()
    for path in sorted((finished / "volumes").glob("*_img.nii.gz")):
        shutil.copy(path, scans / path.name.replace("_img", ""))
    project = Project(scans)
    shelf = ImageShelf(project)
    labels = {number: project.labels.ensure(name) for number, name in enumerate(NAMES, start=1)}
    for record in project.scan():
        image = shelf.get(record.id)
        case = record.name.split(".")[0]
        drawn = read_mask(finished / "volumes" / f"{case}_seg.nii.gz", like=image).array
        entries = [Accepting(label, drawn == number) for number, label in labels.items()]
        project.masks.accept(record.id, image, entries, "Ada", example_origin="accepted")
    project.close()
    return folder


def test_a_project_says_what_the_finished_folder_says(place: Path, tmp_path: Path) -> None:
    loaded = load_nano(tmp_path)
    tasks = []
    for folder in (place / "set", place / "scans"):
        references, classes = read_volume_references(folder, ())
        assert sorted(classes) == sorted(NAMES)
        ordered = sorted(references, key=lambda one: one.image.digest)
        tasks.append(encode_task(loaded, ordered, NAMES))
    of_files, of_project = tasks
    assert torch.equal(of_files.pool.tokens, of_project.pool.tokens)
    assert of_project.pool.present.all()
    assert of_project.sources[0].endswith(".nii.gz")


def test_one_label_alone_and_one_that_is_left_out(place: Path) -> None:
    (wanted, _) = NAMES
    references, classes = read_volume_references(place / "scans", (wanted,))
    assert classes == (wanted,)
    assert all(one.masks[wanted].any() for one in references)
    project = Project(place / "scans")
    left_out = project.examples.find()[0]
    project.examples.set_active(left_out.id, is_active=False)
    project.close()
    bank = read_project_references(place / "scans")
    assert len(bank) == 3
    project = Project(place / "scans")
    project.examples.set_active(left_out.id, is_active=True)
    project.close()


def test_slices_and_empty_projects_are_refused_in_a_sentence(place: Path, tmp_path: Path) -> None:
    assert holds_project(place / "scans")
    assert not holds_project(place / "set")
    with pytest.raises(ConfigError, match="leave --split out"):
        read_volume_references(place / "scans", (), split="train")
    with pytest.raises(LabelError, match="liver"):
        read_volume_references(place / "scans", ("liver",))
    Project(tmp_path).close()
    with pytest.raises(ReferencePairError, match="has no references"):
        read_project_references(tmp_path)
    array, masks = scene(0)
    picture = Reference.from_pair(Image.from_array(array), masks["liver"])
    slices = ReferenceBank().add("liver", picture)
    with pytest.raises(ReferencePairError, match="none of 1 references is a volume"):
        references_of_bank(slices)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import (
    ConfigError,
    ConflictError,
    LabelError,
    ProjectError,
    UnknownEntryError,
)
from medprism.core.image import Image
from medprism.project.database import now
from medprism.project.project import Project

Reopen = Callable[[Project], Project]


def test_images_are_found_once_with_their_folders(project: Project) -> None:
    names = [one.name for one in project.images.find()]
    assert names == ["0.png", "1.png", "2.png", "3.png", "ct/scan.nii.gz"]
    assert project.scan() == []
    assert project.images.counts() == {
        "new": 5,
        "started": 0,
        "accepted": 0,
        "skipped": 0,
        "broken": 0,
    }


def test_new_files_come_with_the_next_scan_and_removed_ones_stay_away(project: Project) -> None:
    (project.root / "later.png").write_bytes((project.root / "0.png").read_bytes())
    project.images.remove(project.images.named("1.png").id)
    assert [one.name for one in project.scan()] == ["later.png"]
    assert "1.png" not in [one.name for one in project.images.find()]
    assert (project.root / "1.png").is_file()
    with pytest.raises(UnknownEntryError, match="no image"):
        project.images.named("1.png")


def test_lists_are_cut_and_searched(project: Project) -> None:
    project.images.set_state(2, "skipped", "blurred")
    assert [one.id for one in project.images.find(states=("new",), offset=1, limit=2)] == [3, 4]
    assert [one.name for one in project.images.find(query="SCAN")] == ["ct/scan.nii.gz"]
    assert project.images.count(states=("skipped",)) == 1
    assert project.images.get(2).reason == "blurred"
    with pytest.raises(ConflictError, match="one of new"):
        project.images.set_state(2, "eaten")


def test_only_one_process_opens_a_project(project: Project, folder: Path) -> None:
    with pytest.raises(ProjectError, match="open in another program"):
        Project(folder)
    with pytest.raises(ProjectError, match="there is no folder"):
        Project(folder / "nowhere")


def test_everything_is_there_again_after_a_restart(project: Project, reopen: Reopen) -> None:
    project.labels.ensure("liver")
    project.preferences.change({"order": "uncertain"})
    project.images.note_content(1, Image.from_array(np.zeros((4, 6), np.uint8)))
    job = project.jobs.add("export", {"format": "nifti"}, "Ada")
    project.leases.acquire(1, "Ada")
    again = reopen(project)
    assert [one.name for one in again.labels.all()] == ["liver"]
    assert again.preferences.read().order == "uncertain"
    assert (again.images.get(1).height, again.images.get(1).width) == (4, 6)
    assert again.jobs.get(job.id).payload == {"format": "nifti"}
    assert again.leases.all() == []
    again.close()


def test_labels_get_distinct_colours_and_keep_what_was_accepted(project: Project) -> None:
    liver, kidney = project.labels.ensure("liver"), project.labels.ensure(" left kidney ")
    assert liver.colour != kidney.colour
    assert project.labels.ensure("liver") == liver
    assert project.labels.change(kidney.id, name="kidney", colour=(1, 2, 3)).colour == (1, 2, 3)
    with pytest.raises(ConflictError, match="already"):
        project.labels.change(kidney.id, name="liver")
    with project.database.writing() as connection:
        connection.execute(
            "INSERT INTO acceptances (image, label, pixels, author, time) VALUES (1, ?, 0, '', ?)",
            (liver.id, now()),
        )
    with pytest.raises(ConflictError, match="keeps its name"):
        project.labels.change(liver.id, name="hepar")
    with pytest.raises(ConflictError, match="never thrown away"):
        project.labels.remove(liver.id)
    project.labels.remove(kidney.id)
    with pytest.raises(UnknownEntryError):
        project.labels.get(kidney.id)


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "x" * 101])
def test_names_that_cannot_be_used_are_refused(project: Project, name: str) -> None:
    with pytest.raises(LabelError, match="cannot be used"):
        project.labels.ensure(name)


def test_colours_are_three_bytes(project: Project) -> None:
    with pytest.raises(LabelError, match="0 to 255"):
        project.labels.ensure("liver", (0, 256, 0))


@pytest.mark.parametrize(
    "changes",
    [{"order": "backwards"}, {"colour": "red"}, {"references_used": 0}, {"references_used": True}],
)
def test_settings_outside_their_range_are_refused(
    project: Project, changes: dict[str, object]
) -> None:
    with pytest.raises(ConfigError):
        project.preferences.change(changes)
    assert project.preferences.read().order == "list"


def test_jobs_remember_their_finished_items(project: Project) -> None:
    job = project.jobs.add("presegment", {}, "Ada")
    project.jobs.report(job.id, 1, 3, "image 1")
    project.jobs.finish_item(job.id, "1", {"outcome": "segmented"})
    assert [one.id for one in project.jobs.unended()] == [job.id]
    with pytest.raises(ConflictError, match="is running"):
        project.jobs.resume(job.id)
    assert project.jobs.end(job.id, "cancelled").is_ended
    # What arrives after the end changes nothing.
    project.jobs.report(job.id, 2, 3, "late")
    assert project.jobs.end(job.id, "done").state == "cancelled"
    assert project.jobs.resume(job.id).state == "queued"
    assert project.jobs.finished_items(job.id) == {"1": {"outcome": "segmented"}}
    with pytest.raises(UnknownEntryError):
        project.jobs.get(99)

"""'Train a class': what it needs, its progress, what it brought, and the way back.

The training itself is that of tests/apps/workbench; here a trainer stands in that only waits.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from medprism.core.progress import Progress
from medprism.models.checkpoint import load_checkpoint
from medprism.project.checkpoints import CheckpointRecord
from medprism.project.jobs import JobRecord
from medprism.project.masks import Accepting
from tests.browser.conftest import ENLARGED, Server
from tests.browser.desk import Desk
from tests.inference.phantom import SHAPE, scene
from tests.untrained import save_untrained

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PICTURE = (ENLARGED * SHAPE[0], ENLARGED * SHAPE[1])
REPORT: dict[str, Any] = {
    "classes": ["spot"],
    "masks": {"training": 5, "held_out": 2, "training_cases": 5, "held_out_cases": 2},
    "steps": 40,
    "seconds": 61.0,
    "new": [
        {
            "name": "spot",
            "masks": 2,
            "before": {"class": None, "reference": 0.61},
            "after": {"class": 0.87, "reference": 0.66},
        }
    ],
    "old": [{"name": "liver", "masks": 2, "before": 0.91, "after": 0.9, "source": "masks"}],
    "agreement": {
        "classes": 4,
        "masks": 9,
        "dice": 0.97,
        "lowest": {"name": "aorta", "dice": 0.93},
    },
    "notes": ["one class was not measured"],
}


class Waiting:
    """Takes the place of the training: reports its steps, waits, and keeps a checkpoint."""

    def __init__(self, server: Server) -> None:
        self._project = server.bench.project
        self.may_go = threading.Event()

    def train(self, job: JobRecord, progress: Progress) -> CheckpointRecord:
        """Play a training."""
        progress.report(12, 40, "learning")
        assert self.may_go.wait(30)
        progress.report(40, 40, "measuring after")
        label = self._project.labels.named(str(job.payload["label"]))
        assert label is not None

        def write(path: Path) -> tuple[str, Mapping[str, Any]]:
            save_untrained(path)
            return load_checkpoint(path).weights_hash, REPORT

        return self._project.checkpoints.add(job.id, label.id, None, job.author, write)


def _accept(server: Server, images: range) -> None:
    project = server.bench.project
    label = project.labels.ensure("spot")
    for image in images:
        content = server.bench.desk.shelf.get(image)
        mask = scene(0)[1]["liver"].repeat(ENLARGED, 0).repeat(ENLARGED, 1)
        if content.num_slices > 1:
            continue
        project.masks.accept(image, content, [Accepting(label, mask)], "Ada")


@pytest.fixture
def folder(folder: Path) -> Path:
    """Enough pictures to train with."""
    whole = (folder / "picture-0.png").read_bytes()
    for number in range(3, 6):
        (folder / f"picture-{number}.png").write_bytes(whole)
    return folder


def test_a_class_is_trained_compared_used_and_gone_back_from(
    page: Page, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Waiting(server)
    monkeypatch.setattr(server.bench.trainer, "train", trainer.train)
    _accept(server, range(1, 2))
    page.reload()
    page.get_by_role("button", name="spot").first.wait_for()
    page.get_by_role("button", name="Train a class").click()
    dialog = page.get_by_role("dialog", name="Train a class")
    dialog.get_by_text("1 accepted mask of spot").wait_for()
    assert dialog.get_by_role("button", name="Train spot").is_disabled()

    _accept(server, range(2, 7))
    page.reload()
    page.get_by_role("button", name="Train a class").click()
    dialog.get_by_text("6 accepted masks of spot").wait_for()
    dialog.get_by_role("spinbutton", name="Minutes").fill("1.5")
    dialog.get_by_role("button", name="Train spot").click()
    progress = dialog.get_by_role("progressbar", name="Train a class")
    dialog.get_by_text("Running 12 of 40").wait_for()
    assert progress.get_attribute("aria-valuenow") == "30"
    assert dialog.get_by_role("button", name="Train spot").is_disabled()
    # One can work on meanwhile, and find it again.
    page.keyboard.press("Escape")
    desk = Desk(page, PICTURE)
    desk.open("picture-2.png")
    page.get_by_role("button", name="Train a class").click()
    dialog.get_by_text("Running 12 of 40").wait_for()

    trainer.may_go.set()
    desk.note("The class is trained")
    job = server.ask("/api/jobs")["jobs"][0]
    assert (job["state"], job["kind"]) == ("done", "training")
    assert server.bench.project.jobs.get(job["id"]).payload["minutes"] == 1.5
    rows = [
        [cell.strip() for cell in row.locator("th, td").all_text_contents()]
        for row in dialog.get_by_role("row").all()
    ]
    assert rows == [
        ["Class", "Held out", "Before", "After", "Change"],
        ["spot", "2", "0.61 by an example", "0.87", "+0.26"],
        ["liver", "2", "0.91", "0.90", "−0.01"],
    ]
    text = dialog.text_content() or ""
    assert "4 older classes agree with those before to 0.97" in " ".join(text.split())
    assert "One class was not measured." in text
    entries = dialog.get_by_role("list", name="Checkpoints").get_by_role("listitem")
    assert "In use" in (entries.nth(0).text_content() or "")

    dialog.get_by_role("button", name="Use Base model fake").click()
    entries.nth(1).get_by_text("In use").wait_for()
    assert server.ask("/api/project")["model"]["checkpoint"] == 0
    dialog.get_by_role("button", name="Use 1: spot").click()
    entries.nth(0).get_by_text("In use").wait_for()
    assert server.ask("/api/project")["model"]["checkpoint"] == 1


def test_too_few_masks_are_refused_in_the_servers_words(page: Page, server: Server) -> None:
    _accept(server, range(1, 3))
    page.reload()
    page.get_by_role("button", name="Train a class").click()
    dialog = page.get_by_role("dialog", name="Train a class")
    dialog.get_by_role("button", name="Train spot").click()
    Desk(page, PICTURE).note("needs at least 5 masks on at least 2 images")
    assert server.ask("/api/jobs")["jobs"] == []

"""Full counts: runs that are killed at any moment, and archives that are long (`make soak`)."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
from benchmarks.resident_memory import resident_megabytes

from medprism.core.randomness import counter_rng
from medprism.engines.loading import load
from medprism.inference.archive import segment_folder
from medprism.inference.knowledge import Example, Knowledge
from medprism.inference.session import Session
from medprism.models.checkpoint import load_checkpoint
from medprism.training.loop import STATE_FILE
from medprism.training.run_record import RUN_FILE
from medprism.training.state import read_document
from tests.evaluation.phantoms import write_scenes
from tests.inference.phantom import scene
from tests.models.checkpoints import save_nano

STEPS = 30
KILLS = 20
IMAGES = 800


def _train(out: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "medprism.apps.cli", "train", "kprism-nano", "--out", str(out)]
    return subprocess.Popen(
        [*command, *options, "--threads", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def _finish(out: Path, *options: str) -> str:
    run = _train(out, *options)
    _, said = run.communicate()
    assert run.returncode == 0, said.decode()
    return load_checkpoint(out / "last.safetensors").weights_hash


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_run_killed_again_and_again_reaches_the_same_weights(tmp_path: Path) -> None:
    cases = {"train": list("abcdef"), "val": ["g"], "test": ["h"]}
    write_scenes(tmp_path / "data" / "scenes", cases=cases)
    first = ("--data", str(tmp_path / "data"), "--steps", str(STEPS))
    undisturbed = _finish(tmp_path / "whole", *first)
    broken = tmp_path / "broken"
    reached = []
    for number in range(KILLS):
        options = ("--resume",) if (broken / RUN_FILE).exists() else first
        run = _train(broken, *options)
        # From before the first import to well within the run.
        time.sleep(float(counter_rng(number, "kill").uniform(0.5, 20)))
        run.kill()
        run.communicate()
        if (broken / STATE_FILE).exists():
            reached.append(int(read_document(broken / STATE_FILE)["step"]))
        for name in ("best.safetensors", "last.safetensors"):
            if (broken / name).exists():
                load_checkpoint(broken / name)
    assert reached == sorted(reached)
    options = ("--resume",) if (broken / RUN_FILE).exists() else first
    assert _finish(broken, *options) == undisturbed


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_long_archive_does_not_fill_the_memory(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(IMAGES):
        assert cv2.imwrite(str(tmp_path / "in" / f"{number:04}.png"), scene(number)[0])
    save_nano(tmp_path / "nano.safetensors")
    session = Session(load(tmp_path / "nano.safetensors"), cache_bytes=8 * 2**20)
    image, masks = tmp_path / "in" / "0000.png", scene(0)[1]
    knowledge = Knowledge(classes=("hook",), examples=(Example(image, masks["liver"]),), label="x")
    megabytes: list[float] = []

    class Notes:
        def report(self, done: int, total: int, message: str = "") -> None:
            megabytes.append(resident_megabytes())

        def is_cancelled(self) -> bool:
            return False

    report = segment_folder(session, tmp_path / "in", knowledge, tmp_path / "out", Notes())
    assert len(report.segmented) == IMAGES and not report.failed
    # Caches and allocators have filled up by the middle; what grows with every image goes on.
    middle, end = megabytes[IMAGES // 2 : IMAGES // 2 + 100], megabytes[-100:]
    assert sum(end) / 100 - sum(middle) / 100 < 15

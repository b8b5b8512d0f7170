from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from medprism.apps.workbench.job_runner import JobRunner, Outcome
from medprism.apps.workbench.turns import ModelTurns
from medprism.core.errors import CancelledError, ConfigError
from medprism.core.progress import Progress
from medprism.project.jobs import JobRecord
from medprism.project.project import Project
from tests.apps.workbench.conftest import Desk, Serve


class Steps:
    """A job of three steps; the second one waits until the test lets it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.go = threading.Event()
        self.done: list[str] = []

    def __call__(self, job: JobRecord, progress: Progress) -> Outcome:
        finished = self.project.jobs.finished_items(job.id)
        for number in range(3):
            while number == 1 and not self.go.is_set() and not progress.is_cancelled():
                time.sleep(0.005)
            if progress.is_cancelled():
                raise CancelledError("stopped; resume to go on")
            progress.report(number, 3, f"step {number}")
            if str(number) not in finished:
                self.done.append(str(number))
                self.project.jobs.finish_item(job.id, str(number), {})
        return {"steps": 3}, None


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    opened = Project(tmp_path)
    yield opened
    opened.close()


def _runner(project: Project, steps: object) -> JobRunner:
    kinds = {"steps": steps, "watched": steps}
    return JobRunner(project.jobs, ModelTurns(), kinds, frozenset({"watched"}))  # type: ignore[arg-type]


def _wait(runner: JobRunner, job: int, *states: str) -> JobRecord:
    for _ in range(400):
        shown = runner.show(job)
        if shown.state in states:
            return shown
        time.sleep(0.01)
    raise AssertionError(f"job is {shown.state}, not {states}")


def test_cancelled_work_is_resumed_without_doing_it_twice(project: Project) -> None:
    steps = Steps(project)
    runner = _runner(project, steps)
    job = runner.start("steps", {}, "Ada").id
    _wait(runner, job, "running")
    while steps.done != ["0"]:
        time.sleep(0.005)
    runner.cancel(job)
    assert _wait(runner, job, "cancelled").message == "stopped; resume to go on"
    steps.go.set()
    runner.resume(job)
    done = _wait(runner, job, "done")
    assert done.result == {"steps": 3} and steps.done == ["0", "1", "2"]
    assert runner.cancel(job).state == "done"
    runner.shut_down()


def test_what_ran_when_the_server_ended_is_taken_up_again(project: Project) -> None:
    steps = Steps(project)
    first = _runner(project, steps)
    running, watched = first.start("steps", {}, "Ada").id, first.start("watched", {}, "Ada").id
    waiting = first.start("steps", {}, "Grace").id
    _wait(first, running, "running")
    first.shut_down()
    assert project.jobs.get(running).state == "running"
    steps.go.set()
    second = _runner(project, steps)
    second.take_up()
    assert _wait(second, running, "done").done == 2 or project.jobs.get(running).done in (2, 3)
    assert _wait(second, waiting, "done").author == "Grace"
    # It belonged to a session that is over.
    failed = _wait(second, watched, "failed")
    assert "start it once more" in failed.message
    second.shut_down()


def test_a_job_cancelled_while_it_begins_does_not_run_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(project)
    runner = _runner(project, steps)
    look, cancels = project.jobs.get, threading.Event()

    def look_slowly(number: int) -> JobRecord:
        """Let somebody cancel right after the lane has seen that the job waits."""
        found = look(number)
        if threading.current_thread().name.startswith("job") and not cancels.is_set():
            canceller.start()
            cancels.set()
            canceller.join(0.2)
        return found

    monkeypatch.setattr(project.jobs, "get", look_slowly)
    canceller = threading.Thread(target=lambda: runner.cancel(job))
    job = project.jobs.add("steps", {}, "Ada").id
    runner.take_up()
    assert cancels.wait(5)
    canceller.join(5)
    steps.go.set()
    assert _wait(runner, job, "cancelled", "done").state == "cancelled"
    runner.shut_down()
    assert "2" not in steps.done


def test_a_job_that_waits_is_cancelled_at_once(project: Project) -> None:
    steps = Steps(project)
    runner = _runner(project, steps)
    first, second = (runner.start("steps", {}, "Ada").id for _ in range(2))
    _wait(runner, first, "running")
    assert runner.cancel(second).state == "cancelled"
    steps.go.set()
    _wait(runner, first, "done")
    runner.shut_down()
    assert steps.done == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("error", "told"),
    [(ConfigError("no such thing"), "no such thing"), (KeyError("patient 7"), "bug in medprism")],
)
def test_a_job_that_fails_says_why_and_the_next_one_runs(
    project: Project, error: Exception, told: str
) -> None:
    def fail(job: JobRecord, progress: Progress) -> Outcome:
        if job.payload.get("fails"):
            raise error
        return {}, "file.zip"

    runner = _runner(project, fail)
    bad = runner.start("steps", {"fails": True}, "Ada").id
    good = runner.start("steps", {}, "Ada").id
    message = _wait(runner, bad, "failed").message
    assert told in message and "patient" not in message
    assert _wait(runner, good, "done").file == "file.zip"
    runner.shut_down()


def test_people_go_before_background_work() -> None:
    turns = ModelTurns()
    order: list[str] = []
    inside = threading.Event()

    def work() -> None:
        turns.give_way(lambda: False)
        order.append("background")

    with turns.for_a_person():
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.03)
        order.append("person")
        inside.set()
    thread.join()
    assert order == ["person", "background"]
    with turns.for_a_person():
        turns.give_way(lambda: True)


def test_a_job_goes_on_after_a_restart_of_the_server(serve: Serve) -> None:
    live = serve()
    desk = Desk(live.client)
    desk.post("/api/labels", {"name": "liver"}, 201)
    live.project.jobs.add("presegment", {"images": [1, 2]}, "Ada")
    live.project.jobs.finish_item(1, "list", {"images": [1, 2]})
    live.project.jobs.finish_item(1, "1", {"image": 1, "outcome": "segmented", "message": ""})
    again = serve()
    done = Desk(again.client).finish(1)
    assert (done["state"], done["result"]["segmented"]) == ("done", 2)
    assert again.project.works.of(1) is None and again.project.works.of(2) is not None

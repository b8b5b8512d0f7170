from __future__ import annotations

import numpy as np
import pytest

from medprism.core.errors import CancelledError
from medprism.core.image import Image
from medprism.engines.loaded import LoadedModel
from medprism.inference.likeness import Likeness
from medprism.metrics.dice import dice
from medprism.project import works
from medprism.project.annotating import (
    Desk,
    chosen_examples,
    open_session,
    presegment,
    save_session,
)
from medprism.project.batch import presegment_images, score_references
from medprism.project.masks import Accepting
from tests.inference.phantom import scene, volume


class Notes:
    """Progress that stops after some reports."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.left, self.said = stop_after, []

    def report(self, done: int, total: int, message: str = "") -> None:
        self.said.append((done, total))
        self.left -= 1

    def is_cancelled(self) -> bool:
        return self.left <= 0


def _accept(desk: Desk, image: int, name: str, mask: np.ndarray, author: str = "Ada") -> None:
    entry = Accepting(desk.project.labels.ensure(name), mask)
    like = desk.shelf.get(image)
    desk.project.masks.accept(image, like, [entry], author, example_origin="accepted")


def test_work_goes_on_where_it_stopped(desk: Desk) -> None:
    session = open_session(desk, 1, "Ada").session
    session.add_point_interaction((30, 30), True, "liver")
    session.add_point_interaction((60, 90), True, "organ")
    session.undo()
    save_session(desk, session, 1, "Ada")
    again = open_session(desk, 1, "Grace")
    assert again.notice is None
    assert again.session.labels == ("liver",)
    assert np.array_equal(again.session.mask("liver"), session.mask("liver"))
    assert again.session.redo()
    assert [event.author for event in again.session.log.events] == ["Ada", "Ada"]
    again.session.add_point_interaction((30, 40), True, "liver")
    assert again.session.log.events[-1].author == "Grace"


def test_an_accepted_mask_is_a_reference_on_the_next_image(desk: Desk) -> None:
    _accept(desk, 1, "thing", scene(0)[1]["left kidney"])
    opened = open_session(desk, 2, "Ada").session
    assert presegment(desk, opened, 2)
    truth = scene(1, shift=4)[1]["left kidney"]
    assert dice(opened.mask("thing"), truth) > 0.8
    record = desk.project.images.get(2)
    assert record.is_presegmented
    assert record.uncertainty is not None and 0 < record.uncertainty < 1
    # Its own mask is no example for an image.
    assert "thing" not in open_session(desk, 1, "Ada").session.references


def test_a_class_is_asked_for_by_name_and_nothing_known_does_nothing(desk: Desk) -> None:
    session = open_session(desk, 1, "Ada").session
    assert not presegment(desk, session, 1)
    desk.project.labels.ensure("liver")
    desk.project.labels.ensure("unheard of")
    assert presegment(desk, session, 1)
    assert session.labels == ("liver",)
    assert dice(session.mask("liver"), scene(0)[1]["liver"]) > 0.8
    # What holds something already is left alone.
    assert not presegment(desk, session, 1)


def test_work_that_cannot_be_read_is_put_aside_and_the_masks_open(desk: Desk) -> None:
    _accept(desk, 1, "liver", scene(0)[1]["liver"])
    session = open_session(desk, 1, "Ada").session
    save_session(desk, session, 1, "Ada")
    path = desk.project.works.target(1)
    path.write_text("{")
    opened = open_session(desk, 1, "Ada")
    assert opened.notice is not None and "accepted masks" in opened.notice
    assert np.array_equal(opened.session.mask("liver"), scene(0)[1]["liver"])
    assert opened.session.locked == ("liver",)
    assert [one.name.startswith("000001.unreadable") for one in path.parent.iterdir()] == [True]


def test_a_saved_log_does_not_hold_the_pixels_of_references(desk: Desk) -> None:
    _accept(desk, 1, "thing", scene(0)[1]["liver"])
    session = open_session(desk, 2, "Ada").session
    presegment(desk, session, 2)
    save_session(desk, session, 2, "Ada")
    assert '"pixels": "' not in desk.project.works.target(2).read_text()
    again = open_session(desk, 2, "Ada").session
    assert [one.digest for one in again.references.of("thing")] == [
        one.digest for one in session.references.of("thing")
    ]


def test_references_that_came_meanwhile_are_used_when_an_image_is_opened_again(
    desk: Desk,
) -> None:
    _accept(desk, 1, "thing", scene(0)[1]["liver"])
    session = open_session(desk, 3, "Ada").session
    save_session(desk, session, 3, "Ada")
    _accept(desk, 2, "thing", scene(1, shift=4)[1]["liver"])
    assert len(open_session(desk, 3, "Ada").session.references.of("thing")) == 2


def test_the_best_references_are_chosen(desk: Desk) -> None:
    desk.project.preferences.change({"references_used": 2})
    for number in range(3):
        _accept(desk, number + 1, "thing", scene(number, shift=4 * number)[1]["liver"])
    first, second, third = desk.project.examples.find()
    assert [one.id for one in chosen_examples(desk, 1, 4)] == [third.id, second.id]
    desk.project.examples.set_score(first.id, 0.9)
    desk.project.examples.set_score(third.id, 0.2)
    assert [one.id for one in chosen_examples(desk, 1, 4)] == [first.id, second.id]
    desk.project.examples.set_active(first.id, is_active=False)
    assert [one.id for one in chosen_examples(desk, 1, 4)] == [second.id, third.id]
    assert first.id not in [one.id for one in chosen_examples(desk, 1, 1)]


def test_of_many_references_those_on_the_most_alike_images_are_chosen(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.project.preferences.change({"references_used": 1})
    for number in range(3):
        _accept(desk, number + 1, "thing", scene(number, shift=4 * number)[1]["liver"])
    first, second, third = desk.project.examples.find()
    alike = {desk.shelf.get(number).digest: at for number, at in ((1, 0.2), (2, 0.9), (3, 0.4))}
    here = desk.shelf.get(4)

    def between(self: Likeness, model: LoadedModel, one: Image, other: Image) -> float:
        assert (model, one) == (desk.model, here)
        return alike[other.digest]

    monkeypatch.setattr(Likeness, "between", between)
    assert chosen_examples(desk, 1, 4) == [second]
    desk.project.preferences.change({"references_used": 2})
    assert chosen_examples(desk, 1, 4) == [second, third]
    # However alike: what the others do not find again is no good example.
    desk.project.examples.set_score(second.id, 0.3)
    assert [one.id for one in chosen_examples(desk, 1, 4)] == [third.id, first.id]
    # A file that is gone is no example either, as long as there are others.
    desk.project.examples.set_score(second.id, 0.8)
    desk.shelf.forget(3)
    (desk.project.root / "2.png").unlink()
    assert [one.id for one in chosen_examples(desk, 1, 4)] == [second.id, first.id]


def test_few_references_are_used_without_a_look_at_their_images(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        _accept(desk, number + 1, "thing", scene(number, shift=4 * number)[1]["liver"])
    monkeypatch.delattr(Likeness, "between")
    assert len(chosen_examples(desk, 1, 4)) == 2


def test_many_images_are_segmented_and_a_stop_is_no_loss(desk: Desk) -> None:
    _accept(desk, 1, "thing", scene(0)[1]["left kidney"])
    (desk.project.root / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    lease = desk.project.leases.acquire(4, "Grace")
    job = desk.project.jobs.add("presegment", {}, "Ada")
    # A stop while an image is segmented leaves it as it was; one after it keeps it.
    for reports, finished in ((2, {"list"}), (3, {"list", "2", "3"})):
        with pytest.raises(CancelledError, match="resume"):
            presegment_images(desk, job, Notes(stop_after=reports))
        assert set(desk.project.jobs.finished_items(job.id)) == finished
    saved = desk.project.works.of(2)
    done = presegment_images(desk, job, Notes())
    assert desk.project.works.of(2) == saved
    assert done["segmented"] == 2
    assert {(one["image"], one["outcome"]) for one in done["left_out"]} == {
        (3, "failed"),
        (4, "in use"),
    }
    assert (
        dice(open_session(desk, 5, "Ada").session.mask("thing"), volume()[1]["left kidney"]) > 0.5
    )
    desk.project.leases.release(lease.holder)


def test_references_are_judged_by_the_others(desk: Desk) -> None:
    for number, name in enumerate(("liver", "liver", "left kidney")):
        _accept(desk, number + 1, "thing", scene(number, shift=4 * number)[1][name])
    _accept(desk, 4, "alone", scene(3, shift=12)[1]["polyp"])
    job = desk.project.jobs.add("score", {}, "Ada")
    with pytest.raises(CancelledError):
        score_references(desk, job, Notes(stop_after=1))
    assert score_references(desk, job, Notes()) == {"scored": 3, "alone": 1}
    scores = {one.image: one.score for one in desk.project.examples.find()}
    assert scores[4] is None
    assert all(score is not None for image, score in scores.items() if image != 4)
    assert scores[3] < 0.4  # type: ignore[operator]


def test_work_put_aside_twice_in_one_moment_is_kept_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(works, "now", lambda: "2026-01-01T00:00:00.000+00:00")
    contents = [b"first", b"second", b"third"]
    kept = []
    for content in contents:
        desk.project.works.target(1).write_bytes(content)
        kept.append(desk.project.works.put_aside(1))
    assert [path.read_bytes() for path in kept] == contents

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import (
    ConfigError,
    FormatVersionError,
    GeometryError,
    ImageReadError,
    LabelError,
    MedprismError,
    PromptError,
    ReferencePairError,
    WriteError,
)
from medprism.inference.session import Session
from medprism.models.segmenter import Accepts
from tests.inference.fake_segmenter import FakeSegmenter, fake_model
from tests.inference.phantom import SHAPE, scene, volume

PIXELS, MASKS = scene()
STACK, _ = volume(3)
EMPTY = np.zeros(SHAPE, bool)

Act = Callable[[Session], object]


def _open(image: np.ndarray = PIXELS) -> Session:
    session = Session(fake_model())
    session.set_image(image)
    session.add_point_interaction((30, 30) if image.ndim == 2 else (1, 30, 30), True, "lesion")
    return session


WRONG: dict[str, tuple[Act, type[MedprismError], str]] = {
    "click outside": (
        lambda s: s.add_point_interaction((88, 0), True),
        PromptError,
        r"positive click \(88, 0\) lies outside the image: voxel \(88, 0\) of \(88, 124\)",
    ),
    "negative index": (
        lambda s: s.add_point_interaction(np.array([-1, 5]), False),
        PromptError,
        "outside the image",
    ),
    "three numbers": (lambda s: s.add_point_interaction((0, 1, 2), True), PromptError, "row, col"),
    "no numbers": (lambda s: s.add_point_interaction("30,30", True), PromptError, "row, col"),
    "empty label": (lambda s: s.add_point_interaction((3, 3), True, ""), LabelError, "give a name"),
    "box outside": (
        lambda s: s.add_bbox_interaction([[0, 89], [0, 5]], True),
        PromptError,
        r"box rows \[0, 89\)",
    ),
    "empty box": (
        lambda s: s.add_bbox_interaction([[5, 5], [0, 5]], True),
        PromptError,
        "must be non-empty",
    ),
    "flat box": (lambda s: s.add_bbox_interaction([0, 5, 0, 5], True), PromptError, "not a box"),
    "scribble size": (
        lambda s: s.add_scribble_interaction(MASKS["liver"].T, True),
        GeometryError,
        r"scribble has shape \(124, 88\) but the image has \(88, 124\)",
    ),
    "empty scribble": (
        lambda s: s.add_scribble_interaction(EMPTY, True),
        PromptError,
        "covers no pixel",
    ),
    "lasso text": (
        lambda s: s.add_lasso_interaction("mask", True),
        PromptError,
        "array of 0 and 1",
    ),
    "initial size": (
        lambda s: s.add_initial_seg_interaction(MASKS["liver"][1:], "x"),
        GeometryError,
        "initial segmentation has shape",
    ),
    "unknown class": (
        lambda s: s.predict(classes=["livr"]),
        LabelError,
        "unknown class 'livr'; did you mean liver",
    ),
    "no class": (lambda s: s.predict(classes=[]), LabelError, r"classes=\[\]; give a name"),
    "class number": (lambda s: s.predict(classes=3), LabelError, "classes=3; give a name"),
    "unknown label": (
        lambda s: s.predict(labels=["cyst"]),
        LabelError,
        "nothing is known about label 'cyst'.*click on it, give examples",
    ),
    "no such mask": (
        lambda s: s.mask("leson"),
        LabelError,
        "no label 'leson' on this image; did you mean lesion",
    ),
    "no such slice": (lambda s: s.mask("lesion", slice_index=1), PromptError, "slice 1 lies out"),
    "commit unknown": (lambda s: s.commit("cyst"), LabelError, "no label 'cyst'"),
    "lock unknown": (lambda s: s.lock("cyst"), LabelError, "no label 'cyst'"),
    "reference size": (
        lambda s: s.set_references([PIXELS], [MASKS["liver"][1:]], "x"),
        ReferencePairError,
        "reference mask has shape",
    ),
    "reference without foreground": (
        lambda s: s.add_reference(PIXELS, EMPTY, "x"),
        ReferencePairError,
        "no foreground",
    ),
    "reference count": (
        lambda s: s.set_references([PIXELS, PIXELS], [MASKS["liver"]], "x"),
        ReferencePairError,
        "one mask for each image",
    ),
    "remove unknown": (
        lambda s: s.remove_reference("x", "0" * 64),
        LabelError,
        "has no reference",
    ),
    "no image": (lambda s: s.set_image("missing.nii.gz"), ImageReadError, "missing.nii.gz"),
    "write format": (lambda s: s.write_mask("mask.docx"), WriteError, "docx"),
    "write unknown": (lambda s: s.write_mask("m.png", labels=["x"]), LabelError, "no label 'x'"),
    "priority unknown": (
        lambda s: s.write_mask("m.png", priority=["x"]),
        LabelError,
        "no label 'x'",
    ),
    "save nowhere": (lambda s: s.save("no/such/folder/w.json"), WriteError, "no/such/folder"),
    "world": (
        lambda s: s.add_point_interaction((0, 0, 0), True, world=True),
        PromptError,
        "knows no spacing",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_one_sentence_and_changes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    act, kind, rule = WRONG[name]
    session = _open()
    before = (session.labels, session.mask("lesion").tobytes(), len(session.log))
    with pytest.raises(kind, match=rule) as caught:
        act(session)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert (session.labels, session.mask("lesion").tobytes(), len(session.log)) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("act", "rule"),
    [
        (lambda s: s.add_point_interaction((3, 30, 30), True), r"voxel \(3, 30, 30\) of \(3, 88"),
        (lambda s: s.add_point_interaction((30, 30), True), r"\(slice, row, col\)"),
        (lambda s: s.add_bbox_interaction([[0, 5], [0, 5]], True), r"\[\[slice, slice \+ 1\]"),
        (lambda s: s.add_bbox_interaction([[0, 2], [0, 5], [0, 5]], True), "acts on one slice"),
        (lambda s: s.add_scribble_interaction(MASKS["liver"], True), "scribble has shape"),
        (lambda s: s.add_scribble_interaction(MASKS["liver"], True, slice_index=3), "slice 3 lies"),
        (lambda s: s.mask("lesion", slice_index="1"), "slice"),
    ],
)
def test_mistakes_on_volumes(act: Act, rule: str) -> None:
    with pytest.raises((PromptError, GeometryError), match=rule):
        act(_open(STACK))


def test_without_an_image_the_way_out_is_named(tmp_path: Path) -> None:
    session = Session(fake_model())
    acts: list[Act] = [
        lambda s: s.add_point_interaction((1, 2), True),
        lambda s: s.predict(classes=["liver"]),
        lambda s: s.mask("lesion"),
        lambda s: s.commit("lesion"),
        lambda s: s.reset_interactions(),
        lambda s: s.replay(),
        lambda s: s.save(tmp_path / "w.json"),
        lambda s: s.write_mask(tmp_path / "m.png"),
        lambda s: s.log,
    ]
    for act in acts:
        with pytest.raises(PromptError, match="no image is open; call set_image"):
            act(session)
    assert (session.undo(), session.redo(), session.labels, session.image) == (
        False,
        False,
        (),
        None,
    )


def test_with_nothing_known_predict_names_the_ways_out() -> None:
    session = Session(fake_model())
    session.set_image(PIXELS)
    with pytest.raises(LabelError, match="nothing to predict: ask for classes"):
        session.predict()
    with pytest.raises(LabelError, match="0 labels cannot form a map"):
        session.write_mask("m.png")


def test_a_failed_set_image_keeps_the_open_one() -> None:
    session = _open()
    with pytest.raises(ImageReadError):
        session.set_image(np.zeros((0, 5)))
    assert session.mask("lesion").any()


def test_an_empty_mask_is_not_accepted_but_can_be_locked() -> None:
    session = _open()
    session.add_initial_seg_interaction(EMPTY, "absent")
    with pytest.raises(ReferencePairError, match="empty mask.*lock it to say that it is absent"):
        session.commit("absent")
    session.lock("absent")
    assert session.locked == ("absent",)


def test_masks_accepted_together_keep_what_they_share() -> None:
    session = _open()
    part, rest = EMPTY.copy(), EMPTY.copy()
    part[:9, :7] = rest[-5:, :8] = True
    whole = ~rest
    session.add_initial_seg_interaction(whole, "organ")
    session.add_initial_seg_interaction(part, "tumour")
    session.commit("tumour", "organ")
    np.testing.assert_array_equal(session.mask("organ"), whole)
    np.testing.assert_array_equal(session.mask("tumour"), part)
    assert session.replay().is_identical
    with pytest.raises(ReferencePairError, match="'void' has an empty mask"):
        session.add_initial_seg_interaction(EMPTY, "void")
        session.add_initial_seg_interaction(rest, "more")
        session.commit("more", "void")
    assert session.locked == ("organ", "tumour")


def test_a_locked_label_does_not_change() -> None:
    session = _open()
    session.predict(classes=["liver"])
    session.commit("liver")
    acts: list[Act] = [
        lambda s: s.add_point_interaction((30, 30), False, "liver"),
        lambda s: s.add_initial_seg_interaction(EMPTY, "liver"),
        lambda s: s.predict(classes=["hepar"]),
        lambda s: s.predict(labels=["liver"]),
        lambda s: s.commit("liver"),
    ]
    for act in acts:
        with pytest.raises(LabelError, match=r"label 'liver' is locked; unlock\('liver'\)"):
            act(session)


@pytest.mark.parametrize(
    ("accepts", "act", "rule"),
    [
        (
            Accepts(classes=False, references=True, clicks=True),
            lambda s: s.predict(classes=["liver"]),
            "knows no classes",
        ),
        (
            Accepts(classes=True, references=False, clicks=True),
            lambda s: s.set_references(PIXELS, MASKS["liver"]),
            "cannot use references",
        ),
        (
            Accepts(classes=True, references=True, clicks=False),
            lambda s: s.add_point_interaction((3, 3), True),
            "takes no clicks",
        ),
    ],
)
def test_what_a_model_does_not_accept_is_said(accepts: Accepts, act: Act, rule: str) -> None:
    session = Session(fake_model(FakeSegmenter(accepts)))
    session.set_image(PIXELS)
    with pytest.raises(MedprismError, match=rule):
        act(session)


def test_a_model_of_volumes_is_refused() -> None:
    with pytest.raises(ConfigError, match="works in 3 dimensions.*load another model"):
        Session(fake_model(FakeSegmenter(spatial_dims=3)))


def test_a_negative_cache_is_refused() -> None:
    with pytest.raises(ConfigError, match="give 0 or more"):
        Session(fake_model(), cache_bytes=-1)


def test_a_full_disk_leaves_the_older_work_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = _open()
    path = tmp_path / "work.json"
    session.save(path)
    before = path.read_bytes()
    session.undo()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medprism.core.durable._dump", full)
    with pytest.raises(WriteError, match="No space left on device"):
        session.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_work_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "work.json"
    for content, rule in (
        ("", "cannot be read as a medprism-work"),
        ("[]", "is of format 'list'"),
        ('{"format": "medprism-project", "version": 1}', "is of format 'medprism-project'"),
        ('{"format": "medprism-work", "version": 99}', "reads up to 1; update medprism"),
        ('{"format": "medprism-work", "version": 1}', "is damaged"),
    ):
        path.write_text(content)
        with pytest.raises(FormatVersionError, match=rule):
            Session.load(path, fake_model())
    with pytest.raises(FormatVersionError, match="cannot be read"):
        Session.load(tmp_path / "none.json", fake_model())

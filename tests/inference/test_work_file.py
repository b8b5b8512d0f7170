from __future__ import annotations

import base64
import copy
import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medprism.core.errors import FormatVersionError, ImageReadError, LabelError, MedprismError
from medprism.inference.action import kind_of
from medprism.inference.session import Session
from medprism.inference.work_file import VERSION, read_work
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import scene

GOLDEN = Path(__file__).parent / "golden"
NEWEST = json.loads((GOLDEN / f"work-v{VERSION}.json").read_text())
PIXELS, MASKS = scene()


def test_there_is_a_golden_file_for_every_version() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == [
        f"work-v{version}.json" for version in range(1, VERSION + 1)
    ]


def test_a_file_of_version_1_is_still_understood() -> None:
    session = Session.load(GOLDEN / "work-v1.json", fake_model(long_side=64))
    areas = {name: int(session.mask(name).sum()) for name in session.labels}
    assert areas == {
        **{"liver": 274, "polyp": 0, "organ": 107, "stroke": 238},
        **{"box": 20, "lasso": 0, "given": 15},
    }
    assert session.locked == ("liver", "box")
    assert session.references.labels == ("organ", "liver")
    assert [kind_of(event.action) for event in session.log.events] == [
        *("predict", "point", "predict", "scribble", "bbox", "lasso", "initial_seg"),
        *("point", "lock", "unlock", "commit", "lock", "reset"),
    ]
    assert {event.author for event in session.log.events} == {"golden"}
    assert session.replay().is_faithful
    assert session.redo()
    assert session.labels == ("liver", "box")
    while session.undo():
        assert session.labels == () or session.mask(session.labels[0]).shape == (44, 62)
    assert session.references.labels == ("organ",)


def test_saving_a_golden_file_again_changes_nothing(tmp_path: Path) -> None:
    path = GOLDEN / f"work-v{VERSION}.json"
    Session.load(path, fake_model(long_side=64)).save(tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text())
    for document in (again, before := copy.deepcopy(NEWEST)):
        for image in document["images"].values():
            # Compressed bytes differ between builds of zlib, pixels do not.
            image["pixels"] = zlib.decompress(base64.b64decode(image["pixels"]))
            # Older files do not say which part of its file an image is.
            image.setdefault("part", None)
    assert again == before


def _write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("pointer", 13),
        ("pointer", -1),
        ("pointer", True),
        ("events", None),
        ("image", "0" * 64),
        ("references", {}),
        ("root", {"organ": ["0" * 64]}),
        ("masks", {"liver": {"1": {"mask": "2728", "presence": 1.0}}}),
        ("masks", {"liver": {"0": {"mask": "2727", "presence": 1.0}}}),
        ("masks", {"liver": {"0": {"mask": "2728", "presence": 1}}}),
        ("zoom", {"largest_share": 1, "margin": 0.25, "steps": 8}),
        ("model", {"name": None, "long_side": 64}),
    ],
)
def test_a_damaged_field_is_said(field: str, wrong: object, tmp_path: Path) -> None:
    path = _write(tmp_path / "work.json", {**NEWEST, field: wrong})
    with pytest.raises(
        FormatVersionError, match=r"work.json is damaged \(.*restore it from a copy"
    ):
        read_work(path)


def test_events_that_do_not_follow_one_another_are_refused(tmp_path: Path) -> None:
    for position, field, wrong in ((3, "seq", 4), (3, "parent", 3), (5, "image", "other")):
        document = copy.deepcopy(NEWEST)
        document["events"][position][field] = wrong
        with pytest.raises(FormatVersionError, match="does not continue the log"):
            read_work(_write(tmp_path / "work.json", document))


def test_a_reference_that_was_changed_is_refused(tmp_path: Path) -> None:
    document = copy.deepcopy(NEWEST)
    digest = next(iter(document["references"]))
    document["references"][digest]["planes"] = {"0": "100 20 2608"}
    with pytest.raises(FormatVersionError, match="does not match its hash"):
        read_work(_write(tmp_path / "work.json", document))


def test_pixels_that_were_changed_are_refused(tmp_path: Path) -> None:
    document = copy.deepcopy(NEWEST)
    first, second = document["images"]
    document["images"][first]["pixels"] = document["images"][second]["pixels"]
    with pytest.raises(ImageReadError, match="not the image that was annotated"):
        read_work(_write(tmp_path / "work.json", document))


def _places(node: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path to every value inside a document."""
    inner: dict[str | int, object] = {}
    if isinstance(node, dict):
        inner = node
    elif isinstance(node, list):
        inner = dict(enumerate(node))
    found = [path] if path else []
    for key, value in inner.items():
        found += _places(value, (*path, key))
    return found


PLACES = _places(NEWEST)
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-9, 99),
    st.floats(),
    st.text(max_size=3),
    st.just([]),
    st.just({}),
)


def _damage_and_load(data: st.DataObject, folder: Path) -> None:
    document = copy.deepcopy(NEWEST)
    *path, last = data.draw(st.sampled_from(PLACES))
    holder = document
    for key in path:
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[last] = data.draw(JUNK)
    else:
        del holder[last]
    try:
        session = Session.load(_write(folder / "work.json", document), fake_model(long_side=64))
        for name in session.labels:
            session.probability(name)
    except MedprismError as error:
        assert str(error)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_in_a_sentence(
    data: st.DataObject, tmp_path: Path
) -> None:
    _damage_and_load(data, tmp_path)


@pytest.mark.slow
@settings(
    max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_many_damaged_files_are_read_or_refused_in_a_sentence(
    data: st.DataObject, tmp_path: Path
) -> None:
    _damage_and_load(data, tmp_path)


@given(st.integers(0, len((GOLDEN / f"work-v{VERSION}.json").read_bytes()) - 1))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_truncated_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "work.json"
    path.write_bytes((GOLDEN / f"work-v{VERSION}.json").read_bytes()[:length])
    with pytest.raises(FormatVersionError, match="truncated"):
        read_work(path)


def test_an_image_from_a_file_is_not_copied_but_small_references_are(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    for name, pixels in (("image", PIXELS), ("example", scene(1)[0])):
        cv2.imwrite(str(tmp_path / "study" / f"{name}.png"), pixels)
    session = Session(fake_model())
    session.set_image(tmp_path / "study" / "image.png")
    session.set_references(tmp_path / "study" / "example.png", scene(1)[1]["liver"], "organ")
    session.predict()
    path = tmp_path / "study" / "work.json"
    session.save(path)
    document = json.loads(path.read_text())
    by_file = {Path(one["path"]).name: one for one in document["images"].values()}
    assert by_file["image.png"]["pixels"] is None
    assert by_file["example.png"]["pixels"] is not None
    # The folder moves, the example is deleted: the work goes on.
    (tmp_path / "study" / "example.png").unlink()
    (tmp_path / "study").rename(tmp_path / "moved")
    loaded = Session.load(tmp_path / "moved" / "work.json", fake_model())
    np.testing.assert_array_equal(loaded.mask("organ"), session.mask("organ"))
    assert loaded.replay().is_identical
    # The image itself is gone: the way out is to pass it.
    (tmp_path / "moved" / "image.png").rename(tmp_path / "renamed.png")
    with pytest.raises(ImageReadError, match="pass it as image="):
        Session.load(tmp_path / "moved" / "work.json", fake_model())
    with pytest.raises(ImageReadError, match="not the one that was annotated"):
        Session.load(tmp_path / "moved" / "work.json", fake_model(), image=scene(2)[0])
    again = Session.load(
        tmp_path / "moved" / "work.json", fake_model(), image=tmp_path / "renamed.png"
    )
    np.testing.assert_array_equal(again.mask("organ"), session.mask("organ"))


def test_a_model_without_a_class_of_the_file_is_refused(tmp_path: Path) -> None:
    document = copy.deepcopy(NEWEST)
    document["events"][0]["prompt"]["targets"] = [["spleen", "spleen"]]
    with pytest.raises(
        LabelError, match="model 'fake' cannot go on with .* unknown class 'spleen'"
    ):
        Session.load(_write(tmp_path / "work.json", document), fake_model(long_side=64))


def test_another_size_of_the_model_is_noticed(tmp_path: Path) -> None:
    session = Session(fake_model())
    session.set_image(PIXELS)
    session.predict(classes=["liver"])
    session.save(tmp_path / "work.json")
    loaded = Session.load(tmp_path / "work.json", fake_model(long_side=128))
    assert loaded.notice is not None
    np.testing.assert_array_equal(loaded.mask("liver"), session.mask("liver"))

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medprism.core.errors import ImageReadError, LabelError, MedprismError
from medprism.data.layouts.catalog import LAYOUTS, recognise_layout
from medprism.data.layouts.collection import describe, inside, read_document
from tests.data.layouts.trees import write_nnunet


def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert inside(tmp_path / "in", "./a/b.png", tmp_path) == tmp_path / "in/a/b.png"
    for name in ("../a.png", "/etc/passwd", "a/../../b.png"):
        with pytest.raises(ImageReadError, match="lies outside"):
            inside(tmp_path / "in", name, tmp_path)
    (tmp_path / "in/link").symlink_to(tmp_path)
    with pytest.raises(ImageReadError, match="lies outside"):
        inside(tmp_path / "in", "link/a.png", tmp_path)


def test_documents_that_are_no_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content, said in (("[1]", "is a JSON list"), ("{", "cannot be read as JSON")):
        path.write_text(content)
        with pytest.raises(LabelError, match=said):
            read_document(path)


def test_only_texts_describe() -> None:
    found = describe({"a": 7, "b": " ", "c": "CC0"}, ("T1w",), name="a", notes="b", licence="c")
    assert (found.name, found.notes, found.licence, found.modality) == (None, None, "CC0", None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        "channel_names",
        "labels",
        "file_ending",
        "medprism",
        "dataset",
        "training",
        "modality",
        "name",
    ]
)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.dictionaries(KEYS, JSON, max_size=4))
def test_any_document_is_read_or_refused_in_one_sentence(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    folder = tmp_path / "set"
    if not folder.exists():
        write_nnunet(folder)
        (tmp_path / "good.json").write_bytes((folder / "dataset.json").read_bytes())
    good = json.loads((tmp_path / "good.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**good, **changes}))
    try:
        found = LAYOUTS[recognise_layout(folder)].read(folder)
    except MedprismError as error:
        assert "\n" not in str(error)
    else:
        assert found.items

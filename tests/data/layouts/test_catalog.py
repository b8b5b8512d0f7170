from pathlib import Path

import pytest

from medprism.core.errors import ImageReadError
from medprism.data.layouts.catalog import LAYOUTS, recognise_layout
from medprism.data.layouts.conversion import convert
from tests.data.layouts.trees import write_nnunet, write_plain_pictures, write_plain_volumes


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_what_a_layout_wrote_it_recognises_and_no_other_does(tmp_path: Path, layout: str) -> None:
    write_plain_volumes(tmp_path / "source")
    convert(tmp_path / "source", tmp_path / "out", layout)
    found = [name for name, one in LAYOUTS.items() if one.recognises(tmp_path / "out")]
    assert found == [layout]


def test_plain_folders_and_foreign_nnunet_are_recognised(tmp_path: Path) -> None:
    write_plain_pictures(tmp_path / "a")
    write_nnunet(tmp_path / "b")
    (tmp_path / "c" / "volumes").mkdir(parents=True)
    assert [recognise_layout(tmp_path / name) for name in "abc"] == ["plain", "nnunet", "plain"]


def test_an_unknown_layout_is_refused_with_everything_that_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    with pytest.raises(ImageReadError) as caught:
        recognise_layout(tmp_path)
    said = str(caught.value)
    assert "\n" not in said
    for layout in LAYOUTS.values():
        assert f"{layout.title}: {layout.looks_for}" in said
    with pytest.raises(ImageReadError, match="is not a folder"):
        recognise_layout(tmp_path / "none")

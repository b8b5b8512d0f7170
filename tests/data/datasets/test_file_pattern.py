from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medprism.core.errors import ImageReadError
from medprism.data.datasets.file_pattern import FilePattern, find_cases, glob_free

PATTERN = FilePattern(
    image=r"img/(?P<case>[^/]+)\.png", masks=("seg/{case}_*.png",), patient="p{case}"
)


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_cases_are_sorted_and_keep_all_their_masks(tmp_path: Path) -> None:
    _touch(tmp_path, "x/img/b.png", "x/img/a.png", "x/seg/a_1.png", "x/seg/a_2.png", "x/seg/b_.png")
    found = find_cases(tmp_path, [PATTERN])
    assert [case.case_id for case in found.cases] == ["a", "b"]
    assert [path.name for path in found.cases[0].masks] == ["a_1.png", "a_2.png"]
    assert found.cases[0].patient == "pa"
    assert found.cases[0].files()[0] == tmp_path / "x/img/a.png"
    assert (found.without_mask, found.odd) == ((), ())


def test_wildcards_in_names_are_names(tmp_path: Path) -> None:
    _touch(tmp_path, "img/a[1]*.png", "img/a1x.png", "seg/a[1]*_m.png", "seg/a1x_m.png")
    found = find_cases(tmp_path, [PATTERN])
    assert [[p.name for p in case.masks] for case in found.cases] == [
        ["a1x_m.png"],
        ["a[1]*_m.png"],
    ]


def test_an_image_without_mask_is_listed_with_what_was_looked_for(tmp_path: Path) -> None:
    _touch(tmp_path, "top/img/a.png", "top/img/b.png", "top/seg/a_1.png", "top/seg/c_1.png")
    found = find_cases(tmp_path, [PATTERN])
    assert found.without_mask == ((tmp_path / "top/img/b.png", "top/seg/b_*.png"),)
    assert found.odd == (tmp_path / "top/seg/c_1.png",)


def test_companions_and_hidden_files_are_not_odd(tmp_path: Path) -> None:
    _touch(tmp_path, "img/a.png", "seg/a_1.png", "seg/extra.png", "seg/._a_1.png", ".git/img/b.png")
    pattern = FilePattern(image=PATTERN.image, masks=PATTERN.masks, also=r"seg/extra\.png")
    found = find_cases(tmp_path, [pattern])
    assert len(found.cases) == 1
    assert found.odd == ()


def test_two_copies_of_a_release_are_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "one/img/a.png", "one/seg/a_1.png", "two/img/a.png", "two/seg/a_1.png")
    with pytest.raises(ImageReadError, match="both give the case 'a'"):
        find_cases(tmp_path, [PATTERN])


def test_folders_of_slices_give_their_files(tmp_path: Path) -> None:
    _touch(tmp_path, "1/dcm/i2.dcm", "1/dcm/i1.dcm", "1/seg/m1.png")
    pattern = FilePattern(image=r"(?P<case>\d)/dcm", masks=("{case}/seg",), is_folder=True)
    (case,) = find_cases(tmp_path, [pattern]).cases
    assert [path.name for path in case.files()] == ["i1.dcm", "i2.dcm", "m1.png"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(names=st.sets(st.text("ab[]*?!-1", min_size=1, max_size=5), max_size=6))
def test_every_name_finds_its_own_mask(
    tmp_path_factory: pytest.TempPathFactory, names: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    pattern = FilePattern(image=r"img/(?P<case>[^/]+)\.png", masks=("seg/{case}.png",))
    for name in names:
        _touch(folder, f"img/{name}.png", f"seg/{name}.png")
    found = find_cases(folder, [pattern])
    assert {case.case_id for case in found.cases} == names
    assert all(case.masks == (folder / "seg" / f"{case.case_id}.png",) for case in found.cases)


def test_of_two_places_for_a_mask_the_first_that_is_there_counts(tmp_path: Path) -> None:
    pattern = FilePattern(
        image=r"(?P<case>\d)/image\.png", masks=("{case}/mask.png|labels/{case}.png",)
    )
    _touch(tmp_path, "1/image.png", "1/mask.png", "labels/1.png", "2/image.png", "labels/2.png")
    _touch(tmp_path, "3/image.png")
    found = find_cases(tmp_path, [pattern])
    masks = {case.case_id: case.masks for case in found.cases}
    assert masks == {
        "1": (tmp_path / "1" / "mask.png",),
        "2": (tmp_path / "labels" / "2.png",),
    }
    assert found.without_mask == ((tmp_path / "3" / "image.png", "3/mask.png"),)
    assert found.odd == (tmp_path / "labels" / "1.png",)


@given(text=st.text(max_size=12))
def test_escaping_is_undone(text: str) -> None:
    import glob

    assert glob_free(glob.escape(text)) == text

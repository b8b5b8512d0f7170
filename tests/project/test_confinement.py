from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.core.errors import ProjectError
from medprism.project.confinement import inside, safe_name


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../b.png", ".."])
def test_nothing_outside_is_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProjectError, match="outside the project"):
        inside(tmp_path / "images", name)


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(ProjectError, match="outside"):
        inside(root, "link.png")


@settings(max_examples=60)
@given(name=st.text(max_size=200))
def test_a_safe_name_is_one_file_in_the_folder(name: str) -> None:
    try:
        kept = safe_name(name)
    except ProjectError:
        return
    assert "/" not in kept and "\\" not in kept
    assert kept not in (".", "..") and not kept.startswith(".")
    assert len(kept) <= 120
    assert inside(Path("/data"), kept).parent == Path("/data")

"""The documentation site: every page is on it, and its addresses and tutorials are right."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from medprism.apps.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = re.findall(r"^ +- [^:\n]+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)


def test_every_page_that_is_listed_is_there() -> None:
    assert len(PAGES) > 20
    assert [page for page in PAGES if not (DOCS / page).is_file()] == []
    assert len(set(PAGES)) == len(PAGES)


@pytest.mark.parametrize("page", sorted(DOCS.glob("api/*.md")), ids=lambda path: path.stem)
def test_what_the_python_pages_show_can_be_imported(page: Path) -> None:
    shown = re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert shown
    for name in shown:
        module, _, last = name.rpartition(".")
        if last[0].isupper():
            assert hasattr(importlib.import_module(module), last)
        else:
            importlib.import_module(name)


@pytest.mark.parametrize("page", sorted(DOCS.glob("tutorials/*.md")), ids=lambda path: path.stem)
def test_every_command_of_a_tutorial_has_the_options_it_shows(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("medprism ")]
    assert lines
    group: object = typer.main.get_command(app)
    for line in lines:
        command, words = group, shlex.split(line)[1:]
        while words and words[0] in getattr(command, "commands", {}):
            command = getattr(command, "commands", {})[words.pop(0)]
        known = {one for option in getattr(command, "params", []) for one in option.opts}
        used = {word for word in words if re.match(r"--?[a-z]", word)}
        assert command is not group and used <= known, line


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the docs extra is not installed")
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path))
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "add_point_interaction" in (tmp_path / "api" / "session.html").read_text()

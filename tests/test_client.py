"""The bundled page: it is what the sources give, complete, and asks no other host for anything."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
CLIENT = ROOT / "client"
STATIC = ROOT / "src" / "medprism" / "apps" / "workbench" / "static"
LARGEST = 400_000


def _node(*arguments: str) -> subprocess.CompletedProcess[str]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; make client needs it")
    if not (CLIENT / "node_modules").is_dir():
        pytest.skip("client/node_modules is not there; run: make client")
    return subprocess.run(
        [node, *arguments], cwd=CLIENT, capture_output=True, text=True, timeout=120, check=False
    )


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def test_the_committed_bundle_is_what_the_sources_give() -> None:
    ended = _node("build.mjs", "--check")
    assert ended.returncode == 0, ended.stderr


def test_the_logic_of_the_client_holds() -> None:
    ended = _node("test.mjs")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_client_is_typed() -> None:
    ended = _node("node_modules/typescript/bin/tsc", "--noEmit")
    assert ended.returncode == 0, ended.stdout


def test_the_page_needs_only_files_beside_it() -> None:
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    links = _Links()
    links.feed(page)
    files = [link for link in links.found if not link.startswith("data:")]
    assert set(files) == {"app.js", "app.css", "icon.svg"}
    assert all((STATIC / name).is_file() for name in files)
    # A page that runs under "script-src 'self'" has no script of its own.
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)


def test_the_bundle_is_small_and_names_no_other_host() -> None:
    for name in ("index.html", "app.js", "app.css"):
        text = (STATIC / name).read_text(encoding="utf-8")
        assert len(text) < LARGEST
        hosts = set(re.findall(r"https?://([\w.-]+)", text))
        assert hosts <= {"www.w3.org"}, name
        assert "sourceMappingURL" not in text


def test_the_lock_file_names_no_registry_and_only_permissive_licences() -> None:
    lock = (CLIENT / "package-lock.json").read_text(encoding="utf-8")
    assert "resolved" not in lock
    assert "://" not in re.sub(r'"url": "[^"]*"', "", lock)
    licences = set(re.findall(r'"license": "([^"]*)"', lock))
    assert licences <= {"MIT", "Apache-2.0", "BSD-3-Clause", "ISC"}


def test_sources_are_short() -> None:
    for path in [*CLIENT.glob("src/**/*"), *CLIENT.glob("tests/*")]:
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            assert len(lines) <= 500, path.name
            # Paths of icons have no place to break.
            limit = 200 if path.name == "icon.tsx" else 100
            assert max(map(len, lines), default=0) <= limit, path.name

"""The Dockerfile, read as a builder would: what it copies is there, what it installs is locked."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
KNOWN = ("FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD")


def _instructions() -> list[tuple[str, str]]:
    """Return every instruction with what stands behind it, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(word.upper(), rest) for word, rest in found]


def _of(kind: str) -> list[str]:
    return [rest for word, rest in _instructions() if word == kind]


def _pip_lines() -> list[list[str]]:
    """Return the words of every `pip install`."""
    commands = [part.strip() for line in _of("RUN") for part in line.split("&&")]
    return [shlex.split(one) for one in commands if re.match(r"(python -m )?pip install\b", one)]


def test_every_instruction_is_one_that_is_looked_at_here() -> None:
    assert {word for word, _ in _instructions()} <= set(KNOWN)
    assert _instructions()[0][0] == "FROM"


def test_what_is_copied_is_there_and_is_not_left_out() -> None:
    ignored = ROOT / ".dockerignore"
    patterns = ignored.read_text(encoding="utf-8").split() if ignored.exists() else []
    sources = [source for line in _of("COPY") for source in shlex.split(line)[:-1]]
    assert {"pyproject.toml", "src", "locks/requirements.txt"} <= set(sources)
    tracked = subprocess.run(
        ["git", "ls-files", "--", *sources], cwd=ROOT, capture_output=True, text=True
    )
    if tracked.returncode:
        pytest.skip("this is no checkout, so that nothing says what is part of the sources")
    names = tracked.stdout.splitlines()
    for source in sources:
        assert (ROOT / source).exists(), f"COPY {source}: there is no such file"
        assert any(name == source or name.startswith(f"{source}/") for name in names), source
        assert not _is_left_out(source, patterns), source


def _is_left_out(path: str, patterns: list[str]) -> bool:
    """Return whether .dockerignore keeps a path from the builder; the last fitting line counts."""
    places = [path, *(str(one) for one in Path(path).parents if str(one) != ".")]
    left_out = False
    for pattern in patterns:
        if any(fnmatch(place, pattern.removeprefix("!")) for place in places):
            left_out = not pattern.startswith("!")
    return left_out


def test_what_is_left_out_is_known() -> None:
    patterns = ["*", "!src", "**/__pycache__"]
    assert _is_left_out("docs", patterns) and _is_left_out("src/a/__pycache__", patterns)
    assert not _is_left_out("src", patterns) and not _is_left_out("src/a.py", patterns)


def test_everything_that_the_build_reads_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    copied = {source for line in _of("COPY") for source in shlex.split(line)[:-1]}
    assert project["project"]["readme"] in copied
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert all(package.split("/")[0] in copied for package in packages)


def test_pip_takes_only_what_is_locked() -> None:
    lines = _pip_lines()
    assert len(lines) == 2
    copied = {source for line in _of("COPY") for source in shlex.split(line)[:-1]}
    for words in lines:
        if words[-1] == ".":
            # The package itself: what it needs was installed before, with hashes.
            assert {"--no-deps", "--no-build-isolation"} <= set(words)
            continue
        assert "--require-hashes" in words
        named = [words[at + 1] for at, word in enumerate(words) if word == "-r"]
        assert named and all(name.startswith("locks/") and name in copied for name in named)
        # An index, and nothing by name.
        others = set(words) - {"pip", "install", "--require-hashes", "-r", *named}
        assert all(re.match(r"--extra-index-url$|https://", word) for word in others), others


def test_the_build_backend_is_locked_too() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    locked = (ROOT / "locks" / "requirements.txt").read_text(encoding="utf-8")
    for wanted in project["build-system"]["requires"]:
        name = re.split(r"[<>=!~ ]", wanted)[0]
        assert re.search(rf"^{re.escape(name)}==", locked, re.MULTILINE), name


def test_the_image_has_a_python_that_the_package_takes() -> None:
    (base,) = _of("FROM")
    found = re.fullmatch(r"python:(\d+\.\d+)-slim", base)
    assert found, "name the version of Python, so that a build of next year is the same"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert SpecifierSet(project["project"]["requires-python"]).contains(f"{found[1]}.0")
    # The hashes of torch's CPU wheels are for one version of Python.
    wheels = (ROOT / "locks" / "torch-cpu.sha256").read_text(encoding="utf-8")
    assert f"cp{found[1].replace('.', '')}-" in wheels


def test_it_runs_as_nobody_in_particular_and_is_the_command() -> None:
    words = [word for word, _ in _instructions()]
    assert _of("USER") and _of("USER")[-1] not in ("root", "0")
    assert words.index("USER") > max(at for at, word in enumerate(words) if word == "RUN")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (entry,) = _of("ENTRYPOINT")
    assert entry.strip('[]"') in project["project"]["scripts"]
    assert "medprism doctor" in _of("RUN")[1]

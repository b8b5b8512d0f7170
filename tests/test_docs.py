"""The pages say everything there is: every option, every setting with its default, every source."""

from __future__ import annotations

import dataclasses
import importlib
import io
import pkgutil
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import medprism
from medprism.apps.cli.main import app

ROOT = Path(__file__).resolve().parents[1]

# Settings that are not named so.
MORE_SETTINGS = ("PretrainedTrunk", "TrunkStage", "Plan", "RunOrder", "Schedule", "UNetRun")
SETTINGS_NAME = re.compile(r"(Config|Settings|Limits)$")


def _sections(page: str, level: str) -> dict[str, str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    parts = re.split(rf"^{level} (.*)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _verbs() -> Iterator[tuple[str, list[str]]]:
    """Yield every command with its options, as they are typed."""
    group = typer.main.get_command(app)

    def walk(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
        inside = getattr(command, "commands", None)
        if inside is not None:
            for name, sub in inside.items():
                yield from walk(sub, (*words, name))
            return
        parameters = getattr(command, "params", [])
        options = [
            text
            for parameter in parameters
            for text in parameter.opts
            if text.startswith("-") and text != "--help"
        ]
        yield " ".join(words), options

    yield from walk(group, ("medprism",))


@pytest.mark.parametrize(("verb", "options"), list(_verbs()), ids=lambda value: str(value)[:24])
def test_every_option_is_documented(verb: str, options: list[str]) -> None:
    named = _sections("cli.md", "##").items()
    sections = [text for title, text in named if f"{title} ".startswith(f"{verb} ")]
    assert len(sections) == 1, f"docs/cli.md needs one section on {verb!r}"
    rows = set(re.findall(r"`(-[-a-z]+)`", sections[0]))
    assert set(options) <= rows, f"not documented: {set(options) - rows}"
    table = "\n".join(line.split("|")[1] for line in sections[0].splitlines() if "|" in line)
    shown = set(re.findall(r"`(-[-a-z]+)`", table))
    assert shown <= set(options), f"documented but not there: {shown - set(options)}"


def test_the_options_before_the_verb_are_documented() -> None:
    command = typer.main.get_command(app)
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for parameter in command.params:
        assert all(f"[{text}]" in page for text in parameter.opts)


def _settings() -> dict[str, type]:
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(medprism.__path__, "medprism."):
        if module.name.endswith("__main__"):
            continue
        loaded = importlib.import_module(module.name)
        for name, value in vars(loaded).items():
            is_own = isinstance(value, type) and value.__module__ == module.name
            is_setting = SETTINGS_NAME.search(name) is not None or name in MORE_SETTINGS
            if is_own and is_setting and dataclasses.is_dataclass(value):
                found[name] = value
    return found


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is not dataclasses.MISSING:
        return f"`{field.default!r}`"
    if field.default_factory is not dataclasses.MISSING:
        return "its own defaults"
    return "must be given"


def test_every_setting_is_documented_with_its_default() -> None:
    sections = _sections("settings.md", "###")
    settings = _settings()
    assert set(sections) == set(settings)
    for name, kind in settings.items():
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in sections[name].splitlines()
            if line.startswith("| `")
        ]
        shown = {cells[0].strip("`"): cells[1] for cells in rows}
        expected = {field.name: _default(field) for field in dataclasses.fields(kind)}
        assert shown == expected, name
        assert all(cells[2] for cells in rows)
        assert f"`{kind.__module__}`" in sections[name]


def _texts() -> Iterator[str]:
    """Yield every docstring and comment of the package."""
    for path in (ROOT / "src").rglob("*.py"):
        source = io.StringIO(path.read_text(encoding="utf-8"))
        for token in tokenize.generate_tokens(source.readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING):
                yield token.string


def test_every_source_that_is_cited_is_listed() -> None:
    cited = {
        key
        for text in _texts()
        for key in re.findall(
            r"\[([A-Z][A-Za-z]+)(?:, (?:Eq\.|App\.|Sec\.|Fig\.|release|\d)[^\]]*)\]", text
        )
    }
    listed = set(re.findall(r"^- \*\*\[(\w+)\]\*\*", _page("references.md"), re.MULTILINE))
    assert "KPrism" in cited
    assert cited <= listed, f"docs/references.md lacks {cited - listed}"


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_every_floor_is_on_the_map() -> None:
    floors = {path.parent.name for path in (ROOT / "src" / "medprism").glob("*/__init__.py")}
    page = _page("architecture.md")
    assert all(f"| `{floor}` |" in page for floor in floors)


def test_nothing_names_a_place_on_somebodys_machine() -> None:
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("src/**/*.py"),
        ROOT / "Makefile",
    ]:
        assert not re.search(
            r"(?<![\w.])/(work|home|root|Users)/", path.read_text(encoding="utf-8")
        )

from dataclasses import replace
from pathlib import Path

from medprism.data.datasets.adapters import PUBLISHED
from medprism.data.datasets.table import HEADER, lines, markdown

PAGE = Path(__file__).resolve().parents[3] / "docs" / "datasets.md"


def test_the_page_shows_exactly_the_adapters() -> None:
    table = markdown(PUBLISHED.values())
    assert table in PAGE.read_text(encoding="utf-8"), (
        "run: medprism data list --markdown, and put it into docs/datasets.md"
    )
    assert table.count("\n") == len(PUBLISHED) + 2
    assert all(row.count(" | ") == HEADER.count(" | ") for row in table.splitlines()[2:])


def test_what_is_not_known_is_shown_as_unknown() -> None:
    nameless = replace(PUBLISHED["uwaterloo_skin"], licence=None)
    assert "  unknown  " in lines([nameless])[0]
    assert f"| [unknown]({nameless.licence_source}) |" in markdown([nameless])


def test_every_set_says_what_it_may_be_used_for() -> None:
    assert all(published.licence for published in PUBLISHED.values())
    rows = {line.split()[0]: line for line in lines(PUBLISHED.values())}
    assert "non-commercial use" in rows["uwaterloo_skin"]
    assert "CC BY-NC-SA" in rows["kits19"]
    assert rows["kits19"].endswith("https://kits19.grand-challenge.org")
    table = {row.split("`")[1]: row for row in markdown(PUBLISHED.values()).splitlines()[2:]}
    assert "| [CC BY-NC-SA](https://kits19.grand-challenge.org/data/) |" in table["kits19"]
    assert table["ivdm3seg_wat"].endswith("resources/IVDM3Seg.md) |")
    assert "K-Prism (train, 1 class): 98 / - / 32" in table["lascarqs"]
    assert "Iris (train, 1 class): 1,014" in table["autopet"]
    assert "K-Prism (unseen, 1 class): slices - / - / 369" in table["brats2021"]

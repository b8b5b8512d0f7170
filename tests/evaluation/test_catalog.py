from __future__ import annotations

import re
from pathlib import Path

from medprism.evaluation.catalog import CATALOG
from medprism.evaluation.measures import MEASURES
from medprism.evaluation.protocols import ABSENT, PROTOCOLS
from medprism.evaluation.volumes import VOLUME_IN_CONTEXT, VOLUME_SEMANTIC

DOCS = Path(__file__).resolve().parents[2] / "docs"


def _first_column(title: str) -> list[str]:
    page = (DOCS / "evaluation.md").read_text(encoding="utf-8")
    section = page.split(f"## {title}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_the_catalog_has_all_protocols_and_begins_with_the_usual_ones() -> None:
    assert list(CATALOG)[: len(PROTOCOLS)] == list(PROTOCOLS)
    assert all(CATALOG[name] is PROTOCOLS[name] for name in PROTOCOLS)
    whole = (VOLUME_SEMANTIC, VOLUME_IN_CONTEXT)
    assert {measure.protocol for measure in MEASURES.values()} <= {*CATALOG, ABSENT, *whole}


def test_every_protocol_and_measure_is_documented() -> None:
    assert _first_column("Protocols") == list(CATALOG)
    assert sorted(_first_column("Measures")) == sorted(MEASURES)
    options = (DOCS / "cli.md").read_text(encoding="utf-8")
    (row,) = [line for line in options.splitlines() if line.startswith("| `--protocols` ")]
    assert all(f"`{name}`" in row for name in CATALOG)

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.performance.cost import Cost

from benchmarks import training_memory as bench

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"


@pytest.mark.parametrize("memory", bench.WAYS, ids=str)
def test_every_way_takes_a_step(memory: bench.MemorySettings) -> None:
    bench.one_step("kprism-nano", 32, 4, memory)()


def test_ways_stand_beside_the_plain_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = [Cost(n, n, n, 100.0 * n, None, None, 2) for n in (2.0, 3.0, 2.5, 4.0)]
    found = list(zip(bench.WAYS, costs, strict=True))
    text = bench.report(found, "kprism-nano", 32, 4)
    assert "| (neither) | 200 MB | 2.0 | 1.00 |" in text
    assert "| --accumulate 4 --recompute | 400 MB | 4.0 | 2.00 |" in text
    page = tmp_path / "scale.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(bench, "rows", lambda *_: found)
    bench.main("kprism-nano", 32, 4, 1, page)
    assert text in page.read_text(encoding="utf-8")

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import archive as bench
from tests.inference.archives import order_for

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> bench.Figures:
    """Measure two small volumes without Ray."""
    root = tmp_path_factory.mktemp("bench")
    order = order_for(root / "spread", root / "nano.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "find_spec", lambda _: None)
        patch.setattr(bench, "LISTED", 50)
        return bench.measure(root, order, studies=2, slices=3, side=48, workers=2)


def test_an_archive_is_measured_and_a_million_follows(found: bench.Figures) -> None:
    assert found.ray_seconds is None and found.ray_per_hour is None
    assert found.image_bytes > found.mask_bytes > 0
    assert found.per_hour == pytest.approx(7200 / found.seconds)
    assert 200 < found.record_bytes < found.driver_bytes < 20_000
    text = bench.measured(found)
    assert "| one process, one thread |" in text and "Ray" not in text.split("memory")[0]
    exact = replace(found, cpu_seconds=2 * 3.6, mask_bytes=3000.0, image_bytes=6e6)
    sized = bench.sizing(exact, slices=6)
    # A study of 6 slices takes 2 x 3.6 CPU seconds: a million, 2,000 hours of a core.
    assert "| core-hours | 2,000 |" in sized
    assert "| machines of 32 cores, for 7 days | 1 |" in sized
    assert "| images read | 12,000 GB |" in sized
    assert "| masks written | 6.0 GB |" in sized


def test_ray_is_compared_once_its_workers_have_begun(found: bench.Figures) -> None:
    with_ray = replace(found, seconds=2.0, ray_seconds=11.0, ray_first=10.0, workers=2, cores=1)
    assert with_ray.ray_per_hour == pytest.approx(3600.0)
    text = bench.measured(with_ray)
    assert "| Ray, 2 workers | 3,600 | 1.00 |" in text
    assert "**2 workers shared 1 core here**" in text
    assert "10 s to the first mask" in text


def test_the_page_has_the_parts_that_are_filled_in(tmp_path: Path, found: bench.Figures) -> None:
    page = tmp_path / "scale.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    bench.fill_page(page, found)
    text = page.read_text(encoding="utf-8")
    assert bench.measured(found) in text and bench.sizing(found) in text

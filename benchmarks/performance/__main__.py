"""What K-Prism costs on this machine: `python -m benchmarks.performance`.

Every figure in CPU-seconds, wall time, peak memory, GFLOP and as a share of the matrix product rate
of the same run, beside the literal form of the equations with nothing cached. `--page` puts them
into docs/performance.md, which is refused while something else is running.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

import torch
import typer

from benchmarks.performance.cost import Rates, Way, load_average, matmul_rates, measure
from benchmarks.performance.kept import Kept, read_kept
from benchmarks.performance.pieces import Bench, Setting
from benchmarks.performance.plan import (
    QUICK,
    Line,
    Scale,
    expert_lines,
    lines,
    size_lines,
    training_lines,
)
from benchmarks.performance.profile import before_and_after
from benchmarks.performance.report import Figured, draw_growth, experts, ratios, tables
from benchmarks.performance.targets import target_table
from benchmarks.results_page import replace_part
from medprism.core.durable import write_bytes
from medprism.engines.engine import REFERENCE_ENGINE, available_engines, package_versions
from medprism.models.catalog import PRESETS

QUIET: Final = 0.5
PLOT: Final = "performance-growth.png"
CASES: Final = (
    Setting("kprism-base", 512),
    Setting("kprism-compact", 256),
    Setting("kprism-compact", 512),
)


def plan(cases: tuple[Setting, ...], engines: tuple[str, ...], scale: Scale) -> Iterator[Line]:
    """Yield everything that is measured."""
    for case in cases:
        small = case.side <= 256
        for engine in engines:
            amount = scale if engine == REFERENCE_ENGINE else scale.brief()
            yield from lines(Setting(case.preset, case.side, engine), amount, has_volume=small)
        # The paper's size learns on accelerators.
        if case.preset != "kprism-base":
            yield from training_lines(case, scale)
    for case in {one.preset: one for one in cases}.values():
        yield from size_lines(case, scale)
    yield from expert_lines(cases[0], scale)


def figure(line: Line, threads: int, repeats: int, seconds: float, rates: Rates) -> Figured:
    """Measure one line."""
    setting = line.setting
    counts = "openvino" not in setting.engine and line.table != "slices"
    way = Way(repeats, threads, seconds, counts, line.learns)
    precision = "bf16" if line.learns else setting.precision

    def prepare() -> object:
        if line.learns:
            return line.make(Bench(None, setting.side))  # type: ignore[arg-type]
        return line.make(Bench(setting.segmenter(threads), setting.side))

    return Figured(line, threads, measure(prepare, rates.gflops[precision], way))  # type: ignore[arg-type]


def fill_page(page: Path, parts: dict[str, str]) -> None:
    """Replace the marked parts of the page."""
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = replace_part(text, name, part)
    write_bytes(page, text.encode())


def main(
    threads: Annotated[str, typer.Option(help="Numbers of CPU threads.")] = "1,2",
    repeats: Annotated[int, typer.Option(help="Repeats a figure.")] = 5,
    seconds: Annotated[float, typer.Option(help="A figure's repeats end after these.")] = 6.0,
    presets: Annotated[str, typer.Option(help="Only these presets.")] = "",
    engines: Annotated[str, typer.Option(help="Only these engines (default: all here).")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Nano, few figures: for a test.")] = False,
    page: Annotated[Path | None, typer.Option(help="Page to fill in.")] = None,
    as_json: Annotated[
        Path | None,
        typer.Option("--json", help="Also keep JSON here, and go on with what it holds."),
    ] = None,
    kept: Annotated[
        Path | None, typer.Option("--from", help="JSON of a run: write its page anew.")
    ] = None,
) -> None:
    """Measure, print tables, and fill in the page."""
    load = load_average()
    if kept is not None:
        _publish(read_kept(kept), page)
        return
    if page is not None and load > QUIET:
        raise typer.BadParameter(
            f"the load average is {load:.2f}; figures for the page need a machine that does "
            f"nothing else (at most {QUIET})"
        )
    cases = (Setting("kprism-nano", 32),) if quick else CASES
    if presets:
        cases = tuple(one for one in cases if one.preset in presets.split(","))
    if not cases or not set(presets.split(",")) <= {"", *PRESETS}:
        raise typer.BadParameter(f"nothing of {presets!r} is measured")
    usable = [one for one in available_engines() if not one.startswith("cuda")]
    chosen = tuple(one for one in engines.split(",") if one) or tuple(usable)
    counts = [int(one) for one in threads.split(",")]
    scale, found, rates = (QUICK if quick else Scale()), [], {}
    # Forked processes hang where the parent has used threads; products are timed after the rest.
    rates = {count: _rates_apart(count, repeats, 256 if quick else 2048) for count in counts}
    so_far = Kept(found, rates, load, package_versions())
    if as_json is not None and as_json.exists():
        so_far.take_over(read_kept(as_json))
    known = {one.key for one in found}
    for count in counts:
        for line in plan(cases, chosen, scale):
            if (line.setting, line.table, line.what, count) in known:
                continue
            found.append(figure(line, count, repeats, seconds, rates[count]))
            done = found[-1]
            typer.echo(f"{done.where}: {line.what}: {done.cost.cpu_seconds:.3f} CPU s", err=True)
            if as_json is not None:
                so_far.write(as_json)
    _publish(so_far, page, {"profile": before_and_after(cases[0], counts[0])})


def _publish(kept: Kept, page: Path | None, more: Mapping[str, str] | None = None) -> None:
    """Print all tables, and put them into the page; parts that were not made stay there."""
    found = kept.figures
    parts = {
        "conditions": kept.conditions(),
        "targets": target_table(found),
        "figures": tables(found),
        "ratios": ratios(found),
        "experts": experts(found),
        **(more or {}),
    }
    typer.echo("\n\n".join(parts.values()))
    if page is not None:
        draw_growth(found, page.with_name(PLOT))
        fill_page(page, {**parts, "plot": f"![Cost against amounts]({PLOT})"})


def _rates_apart(threads: int, repeats: int, side: int) -> Rates:
    """Time matrix products in a process of its own."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def work() -> None:
        torch.set_num_threads(threads)
        theirs.send(matmul_rates(repeats, side))

    process = context.Process(target=work)
    process.start()
    found: Rates = ours.recv()
    process.join()
    return found


if __name__ == "__main__":
    typer.run(main)

"""The page of all figures of Iris on volumes: `python -m benchmarks.iris_volumes.report RESULTS`.

RESULTS holds what the other commands of this package wrote. Each part of docs/results/iris.md
between `<!-- NAME -->` and `<!-- /NAME -->` is replaced, by "not measured yet" where there is no
figure; the words around are left for a person to change. Figures and pictures are kept in
docs/results/iris.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from benchmarks.iris_volumes import ablation, embeddings, folds, reference_choice, unseen
from benchmarks.iris_volumes.kprism import WHAT as KPRISM
from benchmarks.iris_volumes.page import between, class_table
from benchmarks.iris_volumes.pictures import draw_curve
from benchmarks.iris_volumes.results import Held, by_set, read_results
from benchmarks.iris_volumes.scores import (
    Dices,
    differences,
    interval,
    interval_over_sets,
    paired_difference,
)
from benchmarks.iris_volumes.strategies import ONE_SHOT, curve_points
from benchmarks.results_page import replace_part
from medprism.core.durable import make_folder, write_bytes
from medprism.evaluation.page import table

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
NOT_YET: Final = "Not measured yet."
FLOOR: Final = 0.05
"""Iris by one reference may be this much below the UNet of the set, in Dice (hippocampus)."""
FLOOR_SET: Final = "msd_hippocampus_mri"
FILES: Final = (
    "volumes",
    "class_tokens",
    "kprism",
    "ablation",
    "unseen",
    "reference_choice",
    "folds",
    "embeddings",
)
RIVALS: Final = (ONE_SHOT, "bank", "UNet", "class tokens", KPRISM)
"""Beginnings of the columns that stand beside one another."""
STRATEGIES: Final = (ONE_SHOT, "ensemble", "image retrieval", "object retrieval", "bank", "tuned")

Files = Mapping[str, Held]
Columns = dict[str, dict[str, Dices]]


def read_files(results: Path) -> dict[str, Held]:
    """Read the figures that are there, by the name of their file."""
    found = {name: results / f"{name}.json" for name in FILES}
    return {name: read_results(path) for name, path in found.items() if path.exists()}


def columns_of(files: Files, names: tuple[str, ...], wanted: tuple[str, ...]) -> Columns:
    """Return Dice by set and column of some files, columns in the order of their beginnings."""
    found: Columns = {}
    for begin in wanted:
        for file in names:
            rows = files[file].rows if file in files else {}
            for dataset, columns in by_set(rows).items():
                for what, row in columns.items():
                    if what.startswith(begin):
                        found.setdefault(dataset, {})[what] = row["cases"]
    return found


def patients_of(files: Files) -> dict[str, dict[str, str]]:
    """Return the patients of every set, from all files."""
    found: dict[str, dict[str, str]] = {}
    for held in files.values():
        for dataset, patients in held.patients.items():
            found.setdefault(dataset, {}).update(patients)
    return found


def about(files: Files) -> str:
    """Say which checkpoint was measured."""
    if "volumes" not in files:
        return NOT_YET
    known = files["volumes"].about
    return (
        f"`{known['preset']}`, weights {known['weights_hash'][:12]}: {known['steps']:,} steps in "
        f"{known['minutes']:.0f} minutes."
    )


def rivals(files: Files) -> str:
    """Return one table a set with Iris and its rivals, and a summary over all sets before them."""
    columns = columns_of(files, ("volumes", "class_tokens", "kprism"), RIVALS)
    if not columns:
        return NOT_YET
    patients = patients_of(files)
    parts = [_overview(columns, patients), _floor(columns, patients)]
    for dataset, by_column in columns.items():
        parts += [f"### {dataset}", class_table(by_column, patients[dataset], ONE_SHOT)]
    missing = [begin for begin in RIVALS if not _has(columns, begin)]
    if missing:
        parts.append(f"Not measured yet: {', '.join(missing)}.")
    return "\n\n".join(part for part in parts if part)


def _has(columns: Columns, begin: str) -> bool:
    return any(what.startswith(begin) for by_column in columns.values() for what in by_column)


def _overview(columns: Columns, patients: Mapping[str, Mapping[str, str]]) -> str:
    """Return a row a method: its mean on every set, over all classes, and less one shot."""
    methods = list(dict.fromkeys(what for by_column in columns.values() for what in by_column))
    rows = []
    for what in methods:
        found = {name: one[what] for name, one in columns.items() if what in one}
        means = [
            f"{interval(one[what], patients[name]).mean:.3f}" if what in one else "-"
            for name, one in columns.items()
        ]
        overall = "-"
        gain = "-"
        if len(found) == len(columns):
            overall = between(interval_over_sets(found, patients))
        pairs = {
            name: differences(one, columns[name][ONE_SHOT])
            for name, one in found.items()
            if ONE_SHOT in columns[name]
        }
        if what != ONE_SHOT and any(pairs.values()):
            gain = between(interval_over_sets(pairs, patients), signed=True)
        rows.append([what, *means, overall, gain])
    return table(["method", *columns, "all classes", f"less {ONE_SHOT}"], rows)


def _floor(columns: Columns, patients: Mapping[str, Mapping[str, str]]) -> str:
    """Say whether one shot comes near enough to the UNet where the project asks for it."""
    by_column = columns.get(FLOOR_SET, {})
    unets = [what for what in by_column if what.startswith("UNet")]
    if not unets or ONE_SHOT not in by_column:
        return ""
    gain = paired_difference(by_column[ONE_SHOT], by_column[unets[0]], patients[FLOOR_SET])
    if gain is None:
        return ""
    verdict = "reached" if gain.mean >= -FLOOR else "**missed**"
    return (
        f"The floor, one shot at most {100 * FLOOR:.0f} points below the UNet of the set on "
        f"`{FLOOR_SET}`, is {verdict}: {between(gain, signed=True)}."
    )


def strategies(files: Files) -> str:
    """Return one table a set with every way of asking."""
    columns, patients = columns_of(files, ("volumes",), STRATEGIES), patients_of(files)
    parts = []
    for dataset, by_column in columns.items():
        parts += [f"### {dataset}", class_table(by_column, patients[dataset], ONE_SHOT)]
    return "\n\n".join(parts) if parts else NOT_YET


def shares(files: Files, pictures: Path) -> str:
    """Return Dice by share of the pool, and draw it."""
    rows = files["volumes"].rows if "volumes" in files else {}
    named = next((key.partition(" | ")[0] for key in rows if " | share " in key), None)
    if named is None:
        return NOT_YET
    points = curve_points(rows, named)
    draw_curve(points, named, pictures / "shares.png")
    lines = []
    for share in sorted({share for line in points.values() for share, _ in line}):
        found = [dict(line).get(share) for line in points.values()]
        cells = ["-" if value is None else f"{value:.3f}" for value in found]
        lines.append([f"{share:.0%}", *cells])
    return (
        f"`{named}`, mean over classes:\n\n{table(['share of the pool', *points], lines)}\n\n"
        "![Dice of every strategy against the share of the references that is used]"
        "(iris/shares.png)"
    )


def ablations(files: Files) -> str:
    """Return the ablation over all structures, and over small ones."""
    held = files.get("ablation")
    if held is None or not any("cases" in row for row in held.rows.values()):
        return NOT_YET
    small = ablation.small_classes(held.rows[ablation.SIZES]["value"])
    listed = list(dict.fromkeys(label for labels in small.values() for label in labels))
    steps = held.rows[ablation.STEPS]["value"]
    parts = [f"`{held.about['preset']}`, {steps:,} steps each."]
    parts.append(ablation.summary(held.rows, held.patients, only_small=False))
    if listed:
        parts.append(f"Small structures only ({', '.join(listed)}):")
        parts.append(ablation.summary(held.rows, held.patients, only_small=True))
    return "\n\n".join(parts)


def left_out(files: Files) -> str:
    """Return what became of structures that training never showed."""
    held = files.get("unseen")
    if held is None or not held.rows:
        return NOT_YET
    return f"{_length(held)}.\n\n{unseen.page(held, '###').rstrip()}"


def spread(files: Files) -> str:
    """Return how much hangs on the reference."""
    held = files.get("reference_choice")
    return reference_choice.page(held.rows, "###").rstrip() if held and held.rows else NOT_YET


def crossed(files: Files) -> str:
    """Return the cross-validation."""
    held = files.get("folds")
    if held is None or not held.rows:
        return NOT_YET
    return f"{_length(held)} a fold.\n\n{folds.page(held, '###').rstrip()}"


def revealed(files: Files, pictures: Path) -> str:
    """Return what embeddings reveal, and draw them."""
    held = files.get("embeddings")
    if held is None or embeddings.FIGURES not in held.rows:
        return NOT_YET
    value = held.rows[embeddings.FIGURES]["value"]
    embeddings.draw(value, pictures / "embeddings.png")
    shown = "![Task embeddings of all references, first two principal components]"
    return f"{embeddings.page(value).rstrip()}\n\n{shown}(iris/embeddings.png)"


def cost(files: Files) -> str:
    """Return the CPU time that every file of figures took, training included."""
    rows = [
        [name, str(len(held.rows)), f"{sum(r['cpu_seconds'] for r in held.rows.values()) / 60:.1f}"]
        for name, held in files.items()
    ]
    return table(["figures", "rows", "CPU minutes"], rows) if rows else NOT_YET


def _length(held: Held) -> str:
    steps, minutes = held.about.get("steps"), held.about.get("minutes")
    said = f"{steps:,} steps" if steps is not None else f"{minutes:g} minutes"
    return f"`{held.about['preset']}`, {said}"


def parts_of(files: Files, pictures: Path) -> dict[str, str]:
    """Return all parts of the page by name; pictures are drawn into a folder."""
    makers: dict[str, Callable[[], str]] = {
        "about": lambda: about(files),
        "rivals": lambda: rivals(files),
        "strategies": lambda: strategies(files),
        "shares": lambda: shares(files, pictures),
        "ablation": lambda: ablations(files),
        "unseen": lambda: left_out(files),
        "references": lambda: spread(files),
        "folds": lambda: crossed(files),
        "embeddings": lambda: revealed(files, pictures),
        "cost": lambda: cost(files),
    }
    return {name: make() for name, make in makers.items()}


def keep(results: Path, kept: Path) -> None:
    """Copy the figures to where the page is, unless they lie there."""
    make_folder(kept)
    if results.resolve() == kept.resolve():
        return
    for name in FILES:
        path = results / f"{name}.json"
        if path.exists():
            write_bytes(kept / path.name, path.read_bytes())


def main(
    results: Annotated[Path, typer.Argument(help="Folder of the figures.")] = DOCS
    / "results"
    / "iris",
    docs: Annotated[Path, typer.Option(help="Folder of the pages.")] = DOCS,
) -> None:
    """Put the figures of Iris on volumes into docs/results/iris.md."""
    path, kept = docs / "results" / "iris.md", docs / "results" / "iris"
    keep(results, kept)
    files = read_files(kept)
    page = path.read_text(encoding="utf-8")
    parts: dict[str, Any] = parts_of(files, kept)
    for name, text in parts.items():
        page = replace_part(page, name, text)
    write_bytes(path, page.encode())
    missing = [name for name, text in parts.items() if text == NOT_YET]
    typer.echo(f"{path}: {len(parts) - len(missing)} parts; not measured yet: {missing or 'none'}")


if __name__ == "__main__":
    typer.run(main)

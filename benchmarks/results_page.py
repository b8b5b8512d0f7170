"""The figures of docs/results.md, printed anew from what `medprism evaluate` wrote.

    python -m benchmarks.results_page RESULTS

RESULTS holds report.json, report.md and convergence.png. Each part of the page that stands between
`<!-- NAME -->` and `<!-- /NAME -->` is replaced; the words around it are left for a person to
change. docs/results/kprism-compact.md is the report itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from medprism.core.durable import write_bytes
from medprism.core.errors import ConfigError
from medprism.evaluation.page import table
from medprism.models.checkpoint import CheckpointInfo, load_checkpoint

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
WEIGHTS: Final = Path("src/medprism/weights/kprism-compact.safetensors")
METHOD: Final = "kprism-compact"
FLOORS: Final = (
    ("train", "semantic", 0.58),
    ("train", "one-shot", 0.52),
    ("train", "clicks@1", 0.62),
    ("train", "clicks@3", 0.78),
    ("train", "clicks@5", 0.83),
    ("external", "semantic", 0.50),
    ("external", "one-shot", 0.45),
    ("external", "clicks@5", 0.80),
    ("unseen", "clicks@5", 0.72),
)
"""What the project asks of the shipped checkpoint: role, measure, Dice as a mean over classes."""
_FIGURES: Final = ("semantic", "one-shot", "clicks@1", "clicks@3", "clicks@5", "score")


def floors(report: Mapping[str, Any]) -> str:
    """Return the table of floors, and how many are missed."""
    found = {
        rule: {
            line["role"]: line["figures"]
            for line in report["headlines"]
            if line["method"] == METHOD and line["rule"] == rule
        }
        for rule in ("classes", "sets")
    }
    rows, missed = [], 0
    for role, measure, floor in FLOORS:
        classes, sets = (found[rule][role][measure]["value"] for rule in ("classes", "sets"))
        missed += classes < floor
        verdict = "yes" if classes >= floor else "no"
        rows.append(
            [f"{role}, {measure}", f"{floor:.2f}", f"{classes:.3f}", f"{sets:.3f}", verdict]
        )
    header = ["role, measure", "floor", "mean over classes", "mean over sets", "reached"]
    return (
        f"{table(header, rows)}\n\n"
        "Both averages are over sets with known patients and at least 20 test images. The floors "
        f"are meant for\nthe mean over classes: **{missed} of {len(FLOORS)} are missed.**"
    )


def headline(page: str) -> str:
    """Return the averages of report.md, one heading deeper."""
    start = page.index("## Headline") + len("## Headline")
    return page[start : page.index("\n## ", start)].strip()


def beside(report: Mapping[str, Any], role: str, measures: tuple[str, ...]) -> str:
    """Return a row for every set of a role that several methods answered, for each measure."""
    chosen = [
        one
        for one in report["comparisons"]
        if one["facts"]["role"] == role and one["measure"] in measures
    ]
    by_set: dict[str, dict[str, Any]] = {}
    for one in chosen:
        by_set.setdefault(one["facts"]["dataset"], {})[one["measure"]] = one
    methods = sorted({name for one in chosen for name in one["figures"]})
    header = ["set", "images", "pairs"]
    header += [f"{measure}, {name}" for measure in measures for name in methods]
    rows = []
    for name, found in sorted(by_set.items()):
        first = next(iter(found.values()))
        cells = [
            f"{found[measure]['figures'][method]['value']:.3f}"
            if measure in found and method in found[measure]["figures"]
            else "-"
            for measure in measures
            for method in methods
        ]
        rows.append([name, str(first["facts"]["num_images"]), str(first["num_pairs"]), *cells])
    return table(header, rows)


def curve(info: CheckpointInfo) -> str:
    """Return what was measured on `val` while the checkpoint was trained."""
    rows = [
        [f"{one['step']:,}", f"{one['seconds'] / 60:.0f}", *(f"{one[n]:.3f}" for n in _FIGURES)]
        for one in info.training["validations"]
    ]
    return table(["step", "minutes", *_FIGURES[:-1], "mean"], rows)


def replace_part(page: str, name: str, text: str) -> str:
    """Return a page with the part between `<!-- name -->` and `<!-- /name -->` replaced.

    Raises:
        ConfigError: the page has no such part.
    """
    begin, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    if begin not in page or end not in page:
        raise ConfigError(f"the page has no part between {begin.strip()} and {end.strip()}")
    before, rest = page.split(begin, 1)
    return f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}"


def main(
    results: Annotated[Path, typer.Argument(help="What `medprism evaluate` wrote.")],
    weights: Annotated[Path, typer.Option(help="The checkpoint it measured.")] = WEIGHTS,
    docs: Annotated[Path, typer.Option(help="Folder of the pages.")] = DOCS,
) -> None:
    """Put the figures of an evaluation into docs/results.md and docs/results/."""
    report = json.loads((results / "report.json").read_text(encoding="utf-8"))
    markdown = (results / "report.md").read_text(encoding="utf-8")
    checkpoint = load_checkpoint(weights)
    page = (docs / "results.md").read_text(encoding="utf-8")
    parts = {
        "floors": floors(report),
        "headline": headline(markdown),
        "unseen": beside(report, "unseen", ("clicks@1", "clicks@5")),
        "per task": beside(report, "train", ("semantic",)),
        "curve": curve(checkpoint.info),
    }
    for name, text in parts.items():
        page = replace_part(page, name, text)
    write_bytes(docs / "results.md", page.encode())
    weights_hash = checkpoint.weights_hash[:12]
    said = (
        "# Evaluation of the shipped checkpoint, every set\n\n"
        f"What `medprism evaluate` wrote for the weights {weights_hash}, unchanged;\n"
        "[results.md](../results.md) names the commands and says what it means.\n\n"
    )
    body = markdown.split("\n", 1)[1].lstrip("\n")
    write_bytes(docs / "results" / "kprism-compact.md", (said + body).encode())
    shutil.copy(results / "convergence.png", docs / "results" / "convergence.png")
    print(parts["floors"])


if __name__ == "__main__":
    typer.run(main)

"""`medprism models`: what can be loaded or trained."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medprism.engines.inventory import PresetReport


def models(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document for programs.")
    ] = False,
) -> None:
    """List every preset: parameters by module, shipped weights, training sets with licences."""
    from medprism.engines.inventory import describe_presets

    reports = describe_presets()
    if as_json:
        typer.echo(json.dumps({"presets": [report.to_json() for report in reports]}, indent=1))
        return
    for report in reports:
        typer.echo("\n".join(_lines(report)))


def _lines(report: PresetReport) -> list[str]:
    lines = [
        f"{report.name}: {report.purpose}",
        f"  {report.total:,} parameters with {report.classes} classes, "
        + (f"{report.per_expert:,} per expert, " if report.per_expert else "")
        + (
            f"{report.long_side} pixels"
            if report.spatial_dims == 2
            else f"{report.long_side}^3 voxels"
        ),
        *(f"    {name:16}{count:>12,}" for name, count in report.parameters.items()),
    ]
    weights = report.weights
    if weights is None:
        return [*lines, "  no weights are shipped"]
    return [
        *lines,
        f"  shipped weights: {weights.num_bytes / 1e6:.1f} MB, licence: {weights.licence}",
        "  trained on:",
        *(
            f"    {one['name']}: {one['licence'] or 'no licence stated'} "
            f"(redistributable: {one['redistributable'] or 'unknown'})"
            for one in weights.training_sets
        ),
    ]

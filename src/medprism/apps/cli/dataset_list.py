"""`medprism data list`: the published datasets that can be read in their official layout."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def list_sets(
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table of docs/datasets.md.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document for programs.")
    ] = False,
) -> None:
    """List the published datasets: name, modality, licence, home page."""
    from medprism.data.datasets.adapters import PUBLISHED
    from medprism.data.datasets.table import lines, markdown

    sets = tuple(PUBLISHED.values())
    if as_json:
        rows = [
            {
                "name": one.name,
                "title": one.title,
                "modality": one.modality,
                "licence": one.licence,
                "licence_source": one.licence_source,
                "home_page": one.home_page,
                "layout": one.layout,
                "layout_source": one.layout_source,
                "concepts": {name: list(ids) for name, ids in one.concepts.items()},
            }
            for one in sets
        ]
        typer.echo(json.dumps({"datasets": rows}, indent=1))
        return
    typer.echo(markdown(sets).rstrip("\n") if as_markdown else "\n".join(lines(sets)))

"""`medprism doctor`: does this installation work?"""

from __future__ import annotations

import json
from typing import Annotated

import typer


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document for programs.")
    ] = False,
) -> None:
    """Check what is installed and segment a test image; status 1 where something is wrong."""
    from medprism.apps.doctor.examination import examine
    from medprism.apps.doctor.finding import is_healthy

    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            typer.echo(f"{finding.state:8}{finding.subject}: {finding.found}")
            if finding.advice:
                typer.echo(f"{'':8}-> {finding.advice}")
    healthy = is_healthy(findings)
    if as_json:
        document = {"healthy": healthy, "findings": [one.to_json() for one in findings]}
        typer.echo(json.dumps(document, indent=1))
    else:
        typer.echo("everything works" if healthy else "something is wrong; see the arrows above")
    if not healthy:
        raise typer.Exit(1)

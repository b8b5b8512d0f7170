"""The command line: one verb a file; results go to stdout, everything else to stderr.

Verbs import what they need when they run, so that `medprism --help` never waits for torch.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from medprism.apps.cli.failure import report
from medprism.apps.cli.verbs import add_verbs

_log = logging.getLogger("medprism")

app = typer.Typer(
    name="medprism",
    help="Segment medical images by class, by examples and by clicks. For research use, "
    "not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
add_verbs(app)


def _print_version(wanted: bool) -> bool:
    if wanted:
        from medprism import __version__

        typer.echo(f"medprism {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def before_the_verb(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and everything that is logged.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and end.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Take what is said before the verb."""
    # These quote values of headers and answers, which may name a patient.
    for name in ("pydicom", "highdicom", "dicomweb_client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s")
    if debug:
        _log.setLevel(logging.DEBUG)


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process; the entry point of the program."""
    command = typer.main.get_command(app)
    try:
        command(args=arguments, prog_name="medprism")
    except Exception as error:
        sys.exit(report(error, with_traceback=_log.isEnabledFor(logging.DEBUG)))

"""`medprism annotate`: the workbench on a folder of images, in the browser."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer


def annotate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of your images.")],
    port: Annotated[int, typer.Option(help="Port; 0 takes one that is free.")] = 8765,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than loopback can be reached.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(help="The token clients must show; without it a new one every time."),
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Let everybody on this machine in.")
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address.")
    ] = False,
    model: Annotated[str, typer.Option(help="Preset, or path of a checkpoint.")] = "kprism-compact",
) -> None:
    """Annotate the images of a folder in the browser; nothing leaves this machine."""
    from medprism.core.errors import ConfigError

    try:
        from medprism.apps.workbench.serve import run
        from medprism.apps.workbench.settings import WorkbenchSettings
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the workbench needs the package {error.name}; install it with "
            "`pip install 'medprism[workbench]'`"
        ) from error
    if token is not None and no_token:
        raise ConfigError("--token and --no-token contradict each other; give one of them")
    made = token or (None if no_token else secrets.token_urlsafe(24))
    settings = WorkbenchSettings(host=host, port=port, token=made)
    run(folder, model, settings, opens_browser=not no_browser, say=typer.echo)

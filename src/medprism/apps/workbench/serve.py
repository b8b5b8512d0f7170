"""Run the workbench: open the project, load the model, listen, show the page."""

from __future__ import annotations

import getpass
import logging
import socket
import threading
import time
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from medprism.apps.workbench.app import create_app
from medprism.apps.workbench.freed_memory import limit_arenas
from medprism.apps.workbench.settings import WorkbenchSettings
from medprism.apps.workbench.workbench import Workbench
from medprism.core.errors import ConfigError
from medprism.engines.loading import load
from medprism.project.project import Project

# Our readers name files and labels: a help in a shell, nobody's business in a server's log.
TALKATIVE: Final = ("pydicom", "highdicom", "PIL", "nibabel", "uvicorn.access", "medprism.io")
# Seconds that running answers get when the server ends.
_LAST_ANSWERS: Final = 3


def make_server(app: FastAPI) -> uvicorn.Server:
    """Return a server for an app; when it ends, streams of events do not hold it up for long."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_LAST_ANSWERS,
        )
    )


def quiet_libraries() -> None:
    """Keep libraries and readers from logging: they quote names of files, headers, addresses."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def account() -> str:
    """Return the name of the account that runs the server, for people who give no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "annotator"


def run(
    folder: Path,
    model: str,
    settings: WorkbenchSettings,
    *,
    opens_browser: bool,
    say: Callable[[str], None],
) -> None:
    """Serve a folder until Ctrl-C; `say` is told the address.

    Raises:
        ProjectError: no such folder, or it is open elsewhere.
        CheckpointError: no such model.
        ConfigError: the port is taken.
    """
    quiet_libraries()
    limit_arenas()
    listening = listen(settings)
    try:
        loaded = load(model)
        project = Project(folder, lease_seconds=settings.lease_seconds)
        added = project.scan()
        bound = replace(settings, port=listening.getsockname()[1], author=account())
        app = create_app(Workbench(project, loaded, bound))
        address = address_of(bound)
        total = project.images.count()
        say(f"{project.root}: {total} images ({len(added)} new)")
        say(f"open {address}")
        say("Ctrl-C ends the server; everything accepted is on the disk")
        server = make_server(app)
        if opens_browser:
            threading.Thread(target=_show, args=(server, address), daemon=True).start()
        server.run(sockets=[listening])
    finally:
        listening.close()


def address_of(settings: WorkbenchSettings) -> str:
    """Return the address to open, with the token where only the browser sees it.

    >>> address_of(WorkbenchSettings(port=8765, token="0123456789abcdef"))
    'http://127.0.0.1:8765/#token=0123456789abcdef'
    """
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    fragment = "" if settings.token is None else f"#token={settings.token}"
    return f"http://{host}:{settings.port}/{fragment}"


def listen(settings: WorkbenchSettings) -> socket.socket:
    """Return a socket bound to the address.

    Raises:
        ConfigError: the port is taken, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With the protocol named, asyncio turns off Nagle's delay, which costs 40 ms a click.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen on {settings.host} port {settings.port} ({error.strerror}); choose "
            "another one with --port, or 0 for any that is free"
        ) from error
    return listening


def _show(server: uvicorn.Server, address: str) -> None:
    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.05)
    webbrowser.open(address)

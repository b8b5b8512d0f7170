"""The application: all routes behind one gate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from medprism import __version__
from medprism.apps.workbench import failure
from medprism.apps.workbench.access import Gate
from medprism.apps.workbench.monai_label import facade as monai_label
from medprism.apps.workbench.nninteractive import facade as nninteractive
from medprism.apps.workbench.routes import (
    checkpoints,
    images,
    jobs,
    labels,
    masks,
    project,
    references,
    sessions,
)
from medprism.apps.workbench.workbench import Workbench

_INDEX: Final = "index.html"
_MISSING: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>medprism</title></head>
<body><h1>medprism</h1>
<p>The server runs, and its interface is complete (docs/server.md). The browser client is not
bundled into this installation, so there is nothing to click on this page yet.</p>
</body></html>
"""


def static_folder() -> Path:
    """Return where the package keeps the files of the browser client."""
    return Path(str(files("medprism.apps.workbench"))) / "static"


def create_app(bench: Workbench, static: Path | None = None) -> FastAPI:
    """Return the application of a server; its start and end are those of the workbench."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        bench.start()
        yield
        bench.close()

    app = FastAPI(
        title="medprism workbench",
        version=__version__,
        description="Annotate medical images; see docs/server.md. For research use, not a "
        "medical device.",
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        # Their pages load scripts from the network.
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.workbench = bench
    failure.install(app)
    for module in (project, images, labels, sessions, masks, references, checkpoints, jobs):
        app.include_router(module.router)
    nninteractive.install(app, bench)
    monai_label.install(app, bench)
    _serve_files(app, static or static_folder())
    app.add_middleware(Gate, settings=bench.settings)
    return app


def _serve_files(app: FastAPI, folder: Path) -> None:
    if (folder / _INDEX).is_file():
        app.mount("/", StaticFiles(directory=folder, html=True), name="workbench")
        return

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def say_what_is_missing() -> str:
        """Return a page that says that the client is not there."""
        return _MISSING

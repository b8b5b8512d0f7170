"""What routes are given: the server's state, who asks, the session that is named."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from fastapi import Depends, Path, Request
from pydantic import WithJsonSchema
from starlette.datastructures import UploadFile

from medprism.apps.workbench.access import author_of
from medprism.apps.workbench.failure import BadRequestError
from medprism.apps.workbench.open_session import OpenSession
from medprism.apps.workbench.workbench import Workbench
from medprism.project.uploads import Upload


def bench_of(request: Request) -> Workbench:
    """Return the state of the server."""
    found = request.app.state.workbench
    assert isinstance(found, Workbench)
    return found


def _author(request: Request) -> str:
    return author_of(request.headers, bench_of(request).settings.author)


def _opened(
    request: Request,
    session: Annotated[str, Path(description="What `POST /api/sessions` gave.", max_length=64)],
) -> OpenSession:
    return bench_of(request).sessions.get(session)


def upload_of(part: object) -> Upload:
    """Return the file of a form.

    Raises:
        BadRequestError: the field holds text.
    """
    if not isinstance(part, UploadFile):
        raise BadRequestError("the form holds text where a file is wanted; send it as a file")
    return Upload(part.filename or "", part.file)


# FastAPI hands out Starlette's class where its own is asked for.
FilePart: TypeAlias = Annotated[Any, WithJsonSchema({"type": "string", "format": "binary"})]
# What SQLite counts with, and JavaScript without rounding.
Number: TypeAlias = Annotated[int, Path(ge=0, le=2**53, description="Number of an entry.")]
Bench: TypeAlias = Annotated[Workbench, Depends(bench_of)]
Author: TypeAlias = Annotated[str, Depends(_author)]
Opened: TypeAlias = Annotated[OpenSession, Depends(_opened)]

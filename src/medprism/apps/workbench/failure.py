"""Errors as answers: a status, a code for programs, one sentence for people."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from medprism.apps.workbench.nninteractive.verbs import PATHS
from medprism.core.errors import (
    CancelledError,
    CheckpointError,
    ConfigError,
    ConflictError,
    ExpiredError,
    FormatVersionError,
    FullError,
    GeometryError,
    ImageReadError,
    InUseError,
    LabelError,
    MedprismError,
    OutsideError,
    ProjectError,
    PromptError,
    ReferencePairError,
    UnknownEntryError,
    WriteError,
)

_log = logging.getLogger(__name__)

# The first class that fits counts, so narrow ones stand before wide ones.
_ANSWERS: Final[tuple[tuple[type[MedprismError], int, str], ...]] = (
    (InUseError, 409, "image_in_use"),
    (UnknownEntryError, 404, "not_found"),
    (ConflictError, 409, "conflict"),
    (ExpiredError, 410, "session_expired"),
    (OutsideError, 403, "outside_project"),
    (FullError, 503, "full"),
    (ProjectError, 409, "conflict"),
    (CancelledError, 409, "conflict"),
    (PromptError, 422, "bad_prompt"),
    (LabelError, 422, "bad_label"),
    (ImageReadError, 422, "bad_image"),
    (GeometryError, 422, "bad_image"),
    (ReferencePairError, 422, "bad_reference"),
    (ConfigError, 422, "bad_value"),
    (FormatVersionError, 422, "bad_value"),
    (CheckpointError, 422, "bad_value"),
)
# Seconds after which what was refused may be tried again.
_RETRY_AFTER: Final = {"full": "10", "busy": "2"}
_HTTP_CODES: Final[dict[int, tuple[str, str]]] = {
    400: ("bad_request", "the request cannot be read; docs/server.md shows its form"),
    404: ("not_found", "there is nothing at this address; docs/server.md lists all routes"),
    405: ("bad_method", "this route takes another method; docs/server.md shows which"),
    413: ("too_large", "the request is larger than this server takes"),
}


@dataclass(frozen=True)
class Failure:
    """What is said about an error; `more` are further members of `error`."""

    status: int
    code: str
    message: str
    more: tuple[tuple[str, Any], ...] = ()

    def body(self) -> dict[str, Any]:
        """Return the answer's document.

        >>> Failure(404, "not_found", "there is no image 7").body()
        {'error': {'code': 'not_found', 'message': 'there is no image 7'}}
        """
        return {"error": {"code": self.code, "message": self.message, **dict(self.more)}}


class NotThereYetError(MedprismError):
    """A part of a foreign interface that this server does not have."""


class BadRequestError(MedprismError):
    """A request of a form that nobody defined."""


def judge(error: Exception) -> Failure:
    """Return the answer to an error; what nobody foresaw is our own mistake."""
    if isinstance(error, InUseError):
        lease = {"author": error.author, "since": error.since, "until": error.until}
        return Failure(409, "image_in_use", str(error), (("lease", lease),))
    if isinstance(error, NotThereYetError):
        return Failure(501, "not_there_yet", str(error))
    if isinstance(error, BadRequestError):
        return Failure(400, "bad_request", str(error))
    if isinstance(error, WriteError):
        # With a cause it is the disk's refusal, else ours of a format.
        status, code = (507, "cannot_write") if error.__cause__ else (422, "bad_format")
        return Failure(status, code, str(error))
    for kind, status, code in _ANSWERS:
        if isinstance(error, kind):
            return Failure(status, code, str(error))
    _note(error)
    return Failure(
        500, "internal", f"this is a bug in medprism ({type(error).__name__}); nothing was changed"
    )


def install(app: FastAPI) -> None:
    """Let an app answer errors in our own words; what nobody foresaw is the gate's business."""
    app.add_exception_handler(MedprismError, _answer)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(RequestValidationError, _answer_validation)


def respond(request_path: str, failure: Failure) -> JSONResponse:
    """Return the answer; nnInteractive's clients look for the sentence in `detail`."""
    body = failure.body()
    if request_path in PATHS:
        body["detail"] = failure.message
    seconds = _RETRY_AFTER.get(failure.code)
    headers = None if seconds is None else {"Retry-After": seconds}
    return JSONResponse(body, status_code=failure.status, headers=headers)


def _answer(request: Request, error: Exception) -> JSONResponse:
    return respond(request.url.path, judge(error))


def _answer_http(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code, message = _HTTP_CODES.get(status, ("bad_request", "the request cannot be answered"))
    return respond(request.url.path, Failure(status, code, message))


def _answer_validation(request: Request, error: Exception) -> JSONResponse:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    first = found[0] if found else {"loc": (), "msg": "it cannot be read", "type": ""}
    if first["type"] == "json_invalid":
        failure = Failure(400, "bad_request", "the body is no JSON document; send one")
    else:
        where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        message = f"{where}: {str(first['msg']).removeprefix('Value error, ')}{more}"
        failure = Failure(422, "bad_value", message)
    return respond(request.url.path, failure)


def _note(error: Exception) -> None:
    """Log where a bug is, without its message, which may hold names of patients' files."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    _log.error("%s\n%s", type(error).__name__, frames)

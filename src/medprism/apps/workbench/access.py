"""The gate: who may come in, from which page, with how much; and what is logged about it."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medprism.apps.workbench.failure import Failure, judge, respond
from medprism.apps.workbench.guessing import WrongTokens
from medprism.apps.workbench.settings import LOOPBACK, WorkbenchSettings

_log = logging.getLogger(__name__)

COOKIE: Final = "medprism"
# Reachable without a token: none of them tells anything about a project.
OPEN: Final = frozenset({"/healthz", "/api/login", "/auth/", "/auth/token"})
# First parts of the paths that belong to an interface; all others are files of the workbench.
GUARDED: Final = frozenset(
    {
        *("api", "capabilities", "claim", "release", "heartbeat", "lease_status"),
        *("set_image", "set_target_buffer", "set_do_autozoom", "reset_interactions", "undo"),
        *("predict", "add_point_interaction", "add_bbox_interaction"),
        *("add_scribble_interaction", "add_lasso_interaction", "add_initial_seg_interaction"),
        *("auth", "info", "infer", "datastore", "session", "activelearning", "train"),
    }
)
# Routes that take whole images.
LARGE: Final = (
    *("/api/images", "/api/references/upload", "/set_image", "/add_scribble_interaction"),
    *("/add_lasso_interaction", "/add_initial_seg_interaction", "/infer/", "/datastore/"),
    "/session/",
)
_CHANGING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_LONGEST_AUTHOR: Final = 80


class _TooLargeError(HTTPException):
    """More bytes arrived than may; FastAPI lets this kind through its reading of bodies."""

    def __init__(self) -> None:
        super().__init__(413)


class Gate:
    """ASGI middleware in front of everything."""

    def __init__(self, app: ASGIApp, settings: WorkbenchSettings) -> None:
        self._app = app
        self._settings = settings
        # Counted on the server's one event loop, so without a lock.
        self._waiting = 0
        self._wrong_tokens = WrongTokens(settings.wrong_token_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for the app where a request may not come in; else hand it on and log it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = [500]
        is_begun = [False]
        failure: Failure | None = None
        self._waiting += 1

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = int(message["status"])
                # An answer that has begun, as a stream of events, waits for nothing any more.
                self._waiting -= not is_begun[0]
                is_begun[0] = True
                if status[0] == 401 and failure is not _NO_TOKEN:
                    await self._wrong_tokens.hold_up()
                message = {**message, "headers": [*message.get("headers", []), *_SAFE]}
            await send(message)

        try:
            failure = self._refusal(scope, _headers(scope))
            if failure is None:
                failure = await self._pass(scope, receive, noting)
            if failure is not None and not is_begun[0]:
                await respond(str(scope["path"]), failure)(scope, receive, noting)
        finally:
            self._waiting -= not is_begun[0]
        # The route, not the path: names of images are nobody's business.
        route = getattr(scope.get("route"), "path", "-")
        spent = 1000 * (time.perf_counter() - started)
        _log.info("%s %s %d %.0f ms", scope["method"], route, status[0], spent)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> Failure | None:
        """Let the app answer; return what it failed with."""
        limit = self._limit(str(scope["path"]))
        try:
            await self._app(scope, _counting(receive, limit), send)
        except _TooLargeError:
            return _too_large(limit)
        except Exception as error:
            # Passed on, the server under us would log it with names of files in it.
            return judge(error)
        return None

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> Failure | None:
        path = str(scope["path"])
        host = _name_of(headers.get("host", ""))
        if self._settings.is_loopback and host not in LOOPBACK:
            return Failure(
                403,
                "wrong_host",
                f"this server answers as {self._settings.host} only, not as "
                f"{host[:60]!r}; use the address it printed",
            )
        if path not in OPEN and path.split("/")[1] in GUARDED:
            refused = self._check_token(scope, headers) or self._check_length(path, headers)
            return refused or self._check_room()
        return self._check_length(path, headers)

    def _check_token(self, scope: Scope, headers: Mapping[str, str]) -> Failure | None:
        expected = self._settings.token
        if expected is None:
            return _check_origin(scope, headers)
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and given:
            return None if _same(given.strip(), expected) else _WRONG_TOKEN
        cookie = _cookie(headers)
        if cookie is None:
            return _NO_TOKEN
        return _check_origin(scope, headers) if _same(cookie, expected) else _WRONG_TOKEN

    def _check_room(self) -> Failure | None:
        if self._waiting <= self._settings.max_waiting:
            return None
        return Failure(
            503,
            "busy",
            f"{self._settings.max_waiting} requests wait for their answer, which is all this "
            "server takes; nothing was done, try again in a moment",
        )

    def _check_length(self, path: str, headers: Mapping[str, str]) -> Failure | None:
        length = headers.get("content-length", "0")
        limit = self._limit(path)
        return _too_large(limit) if length.isdecimal() and int(length) > limit else None

    def _limit(self, path: str) -> int:
        is_large = path.startswith(LARGE)
        return self._settings.upload_bytes if is_large else self._settings.body_bytes


def author_of(headers: Mapping[str, str], default: str) -> str:
    """Return who works, as the client says in `X-Author`.

    >>> author_of({"x-author": "Ada%20L%C3%B6we"}, "annotator")
    'Ada Löwe'
    """
    name = unquote(headers.get("x-author", "")).strip()[:_LONGEST_AUTHOR]
    return name if name and name.isprintable() else default


def is_token(given: str, expected: str | None) -> bool:
    """Say whether a token is right; without one any is."""
    return expected is None or _same(given, expected)


_NO_TOKEN: Final = Failure(
    401,
    "no_token",
    "a token is needed: send `Authorization: Bearer TOKEN`; it was printed at the start",
)
_WRONG_TOKEN: Final = Failure(
    401, "wrong_token", "the token is not that of this server; it was printed at the start"
)
_SAFE: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
        b"connect-src 'self'; frame-ancestors 'none'",
    ),
)


def _check_origin(scope: Scope, headers: Mapping[str, str]) -> Failure | None:
    """Refuse changes that a foreign page asks for with a cookie, or without any token."""
    origin = headers.get("origin")
    if scope["method"] not in _CHANGING or origin is None:
        return None
    if urlsplit(origin).netloc == headers.get("host"):
        return None
    return Failure(
        403,
        "wrong_origin",
        "a page of another origin asked for this; work in the window that this server opened",
    )


def _counting(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise _TooLargeError
        return message

    return counted


def _too_large(limit: int) -> Failure:
    return Failure(
        413,
        "too_large",
        f"the request is larger than {limit / 2**20:.0f} MiB, the limit of this "
        "server; put large images into the project's folder instead",
    )


def _headers(scope: Scope) -> dict[str, str]:
    pairs: list[tuple[bytes, bytes]] = scope["headers"]
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


def _cookie(headers: Mapping[str, str]) -> str | None:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return None
    found: Any = jar.get(COOKIE)
    return None if found is None else str(found.value)


def _name_of(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())

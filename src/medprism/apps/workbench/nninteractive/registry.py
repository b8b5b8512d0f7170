"""The leases of nnInteractive's clients: idle ones and dead ones end by themselves."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from medprism.apps.workbench.nninteractive.remote_session import RemoteSession
from medprism.core.errors import ExpiredError, FullError

IDLE_SECONDS: Final = 600.0
LIVENESS_SECONDS: Final = 60.0


@dataclass(eq=False)
class _Entry:
    session: RemoteSession
    active: float
    seen: float


class Registry:
    """At most `most` sessions by lease token.

    A session ends when nothing was done for `idle` seconds, or when its client gave no sign of
    life (heartbeats count) for `liveness` seconds.
    """

    def __init__(
        self,
        make: Callable[[], RemoteSession],
        most: int,
        *,
        idle: float = IDLE_SECONDS,
        liveness: float = LIVENESS_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = most
        self.idle = idle
        self.liveness = liveness
        self._make = make
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def claim(self) -> str:
        """Return the token of a new session.

        Raises:
            FullError: all are taken.
        """
        self.sweep()
        present = self._clock()
        with self._lock:
            if len(self._entries) >= self.most:
                raise FullError(f"all {self.most} sessions are taken; try again in a while")
            token = secrets.token_hex(16)
            self._entries[token] = _Entry(self._make(), present, present)
        return token

    def use(self, token: str | None) -> RemoteSession:
        """Return a session for something that its user does.

        Raises:
            ExpiredError: the lease is unknown or has run out.
        """
        entry = self._get(token)
        entry.active = entry.seen = self._clock()
        return entry.session

    def beat(self, token: str | None) -> float:
        """Note a sign of life and return the seconds until the session counts as idle."""
        entry = self._get(token)
        entry.seen = self._clock()
        return self._remaining(entry)

    def remaining(self, token: str | None) -> float:
        """Return the seconds until a session counts as idle, without a sign of life."""
        return self._remaining(self._get(token))

    def release(self, token: str | None) -> None:
        """End a session; one that has ended is no error."""
        with self._lock:
            self._entries.pop(token or "", None)

    def sweep(self) -> None:
        """End what is idle or dead."""
        with self._lock:
            for token, entry in list(self._entries.items()):
                if self._is_over(entry):
                    del self._entries[token]

    def _get(self, token: str | None) -> _Entry:
        with self._lock:
            entry = self._entries.get(token or "")
        if entry is None or self._is_over(entry):
            raise ExpiredError("the lease is unknown or has run out; connect once more")
        return entry

    def _is_over(self, entry: _Entry) -> bool:
        present = self._clock()
        return present - entry.seen > self.liveness or present - entry.active > self.idle

    def _remaining(self, entry: _Entry) -> float:
        return max(0.0, self.idle - (self._clock() - entry.active))

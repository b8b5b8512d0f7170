"""How the server is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from medprism.core.errors import ConfigError

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_SHORTEST_TOKEN: Final = 16


@dataclass(frozen=True, kw_only=True)
class WorkbenchSettings:
    """Address, token, limits and times of a server; sizes in bytes, times in seconds.

    `max_waiting` requests may wait for the beginning of their answer at once, others are refused.
    `wrong_token_seconds` is how long the answer to a wrong token waits, after five within a minute.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    author: str = "annotator"
    max_sessions: int = 32
    max_waiting: int = 256
    wrong_token_seconds: float = 1.0
    lease_seconds: float = 900.0
    autosave_seconds: float = 5.0
    upload_bytes: int = 2 * 2**30
    body_bytes: int = 16 * 2**20
    encodings_bytes: int = 512 * 2**20
    images_bytes: int = 512 * 2**20
    maps_bytes: int = 8 * 2**20

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port {self.port} is none; choose 1 to 65535, or 0 for a free one")
        if self.max_sessions < 1 or self.max_waiting < 1:
            raise ConfigError(
                f"{self.max_sessions} sessions and {self.max_waiting} waiting requests: nobody "
                "could work; give at least 1 of each"
            )
        if self.token is not None and len(self.token) < _SHORTEST_TOKEN:
            raise ConfigError(
                f"a token of {len(self.token)} letters can be guessed; give at least "
                f"{_SHORTEST_TOKEN}, or none to have one made"
            )
        if self.token is None and not self.is_loopback:
            raise ConfigError(
                f"on {self.host} others can reach the server, so it needs a token; leave out "
                "--no-token"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK

"""Who works on which image: a lease that ends by itself."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from medprism.core.errors import ExpiredError, InUseError
from medprism.core.steady_clock import steady_time
from medprism.project.database import Database, Row


@dataclass(frozen=True)
class Lease:
    """The right of one person to change one image; times are seconds since 1970.

    `holder` is a secret that only the client who got it knows.
    """

    image: int
    holder: str
    author: str
    since: float
    expires: float


class Leases:
    """The table of leases; `clock` is the time in seconds since 1970."""

    def __init__(
        self, database: Database, seconds: float, clock: Callable[[], float] = steady_time
    ) -> None:
        self._database = database
        self._seconds = seconds
        self._clock = clock

    def acquire(self, image: int, author: str, *, take_over: bool = False) -> Lease:
        """Take the lease of an image that is free, whose lease has run out, or by force.

        Raises:
            InUseError: another client holds it; the message says who and until when.
        """
        present = self._clock()
        lease = Lease(image, secrets.token_hex(16), author, present, present + self._seconds)
        with self._database.writing() as connection:
            row = connection.execute("SELECT * FROM leases WHERE image = ?", (image,)).fetchone()
            if row is not None and row["expires"] > present and not take_over:
                raise _in_use(_lease(row))
            connection.execute(
                "INSERT OR REPLACE INTO leases (image, holder, author, since, expires)"
                " VALUES (?, ?, ?, ?, ?)",
                (lease.image, lease.holder, lease.author, lease.since, lease.expires),
            )
        return lease

    def renew(self, holder: str) -> Lease:
        """Let a lease last from now on.

        Raises:
            ExpiredError: it has run out, was released or taken over.
        """
        present = self._clock()
        with self._database.writing() as connection:
            changed = connection.execute(
                "UPDATE leases SET expires = ? WHERE holder = ? AND expires > ?",
                (present + self._seconds, holder, present),
            ).rowcount
        found = self._database.row("SELECT * FROM leases WHERE holder = ?", (holder,))
        if not changed or found is None:
            raise ExpiredError(
                "the session has ended (it ran out, or somebody took the image over); open the "
                "image again, nothing that was accepted is lost"
            )
        return _lease(found)

    def release(self, holder: str) -> None:
        """End a lease; one that is over already is no error."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM leases WHERE holder = ?", (holder,))

    def of(self, image: int) -> Lease | None:
        """Return the lease of an image, None if it is free."""
        row = self._database.row(
            "SELECT * FROM leases WHERE image = ? AND expires > ?", (image, self._clock())
        )
        return None if row is None else _lease(row)

    def all(self) -> list[Lease]:
        """Return all leases that have not run out."""
        rows = self._database.rows(
            "SELECT * FROM leases WHERE expires > ? ORDER BY since", (self._clock(),)
        )
        return [_lease(row) for row in rows]

    def remaining(self, lease: Lease) -> float:
        """Return the seconds until a lease runs out; 0 when it has."""
        return max(0.0, lease.expires - self._clock())

    def clear(self) -> None:
        """End all leases, as a server does that starts: nobody can hold one of its sessions."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM leases")


def _in_use(lease: Lease) -> InUseError:
    since, until = _iso(lease.since), _iso(lease.expires)
    return InUseError(
        f"{lease.author} works on this image since {since[11:16]} UTC; wait until they finish, "
        "choose another image, or take it over (their work is saved first)",
        author=lease.author,
        since=since,
        until=until,
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _lease(row: Row) -> Lease:
    return Lease(row["image"], row["holder"], row["author"], row["since"], row["expires"])

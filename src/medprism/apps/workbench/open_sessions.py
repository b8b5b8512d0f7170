"""All sessions of a server: opened, renewed, saved, ended; the next image made ready meanwhile."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

from medprism.apps.workbench.open_session import OpenSession, shown_first
from medprism.apps.workbench.turns import Courteous, ModelTurns
from medprism.core.errors import ExpiredError, FullError, MedprismError, WriteError
from medprism.core.steady_clock import steady_time
from medprism.project.annotating import (
    Desk,
    Opened,
    encode_ahead,
    open_session,
    presegment,
    save_session,
)
from medprism.project.images import UNFINISHED, ImageRecord

_log = logging.getLogger(__name__)

# Images made ready for people who are still at another one.
MOST_PREPARED: Final = 4
# A lease is written again once this share of its time is over.
_RENEW_AFTER: Final = 0.25


@dataclass(frozen=True, eq=False)
class _Prepared:
    """An image that was segmented ahead, with what the project knew then."""

    author: str
    knowledge: int
    opened: Opened


class _Stop:
    """Progress of an image that is made ready, with what the project knew when it was asked for."""

    def __init__(self, knowledge: int) -> None:
        self.knowledge = knowledge
        self.is_wanted = threading.Event()
        self.is_awaited = threading.Event()

    def report(self, done: int, total: int, message: str = "") -> None:
        """Show nothing."""

    def is_cancelled(self) -> bool:
        """Return whether nobody needs it any more."""
        return self.is_wanted.is_set()

    def is_pressing(self) -> bool:
        """Return whether it should give way no longer: somebody waits for it or for its end."""
        return self.is_wanted.is_set() or self.is_awaited.is_set()


class OpenSessions:
    """The sessions of one server; every image has at most one at a time."""

    def __init__(
        self,
        desk: Desk,
        turns: ModelTurns,
        *,
        most: int,
        seconds: float,
        clock: Callable[[], float] = steady_time,
    ) -> None:
        self._desk = desk
        self._turns = turns
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.RLock()
        self._open: dict[str, OpenSession] = {}
        self._prepared: OrderedDict[int, _Prepared] = OrderedDict()
        self._preparing: dict[int, tuple[_Stop, Future[None]]] = {}
        self._knowledge = 0
        self._background = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        # A lane of its own: the first click comes sooner than the next image.
        self._encoding = ThreadPoolExecutor(1, thread_name_prefix="encode")

    def open(
        self, image: int, author: str, *, take_over: bool = False, wants_presegment: bool = False
    ) -> OpenSession:
        """Open an image for a person.

        Raises:
            InUseError: somebody works on it.
            FullError: as many sessions are open as may.
            ImageReadError: its file cannot be read.
        """
        self._desk.project.images.get(image)
        with self._lock:
            if len(self._open) >= self._most:
                raise FullError(
                    f"{len(self._open)} sessions are open, which is all this server takes; try "
                    "again when somebody has finished"
                )
        self._end_on(image, only_over=not take_over)
        lease = self._desk.project.leases.acquire(image, author, take_over=take_over)
        try:
            opened = self._take(image, author, wants_presegment=wants_presegment)
        except BaseException:
            self._desk.project.leases.release(lease.holder)
            raise
        session = OpenSession(
            holder=lease.holder,
            image=image,
            author=author,
            session=opened.session,
            notice=opened.notice,
            expires=lease.expires,
            renew_at=lease.since + _RENEW_AFTER * self._seconds,
            is_unsaved=len(opened.session.log) > 0,
        )
        with self._lock:
            self._open[lease.holder] = session
        return session

    def get(self, holder: str) -> OpenSession:
        """Return an open session and let it last from now on.

        Raises:
            ExpiredError: it has ended.
        """
        with self._lock:
            found = self._open.get(holder)
        present = self._clock()
        if found is None or found.is_closed or found.expires <= present:
            raise ExpiredError(
                "the session has ended (it ran out, the server started anew, or somebody took the "
                "image over); open the image again, nothing that was accepted is lost"
            )
        if present >= found.renew_at:
            found.expires = self._desk.project.leases.renew(holder).expires
            found.renew_at = present + _RENEW_AFTER * self._seconds
        return found

    def remaining(self, opened: OpenSession) -> float:
        """Return the seconds until a session ends if nobody asks for it."""
        return max(0.0, opened.expires - self._clock())

    def save(self, opened: OpenSession) -> None:
        """Write the log of a session if it is not written yet.

        Raises:
            WriteError: the disk refuses.
        """
        with opened.lock:
            if opened.is_unsaved:
                try:
                    save_session(self._desk, opened.session, opened.image, opened.author)
                except WriteError as error:
                    opened.save_failure = (
                        f"the prompt log is not saved yet, it is tried again ({error}); what was "
                        "accepted is safe"
                    )
                    raise
                opened.is_unsaved, opened.save_failure = False, None

    def close(self, holder: str) -> None:
        """Save a session and let its image go; one that has ended is no error."""
        with self._lock:
            found = self._open.pop(holder, None)
        if found is None:
            return
        with found.lock:
            found.is_closed = True
            try:
                self.save(found)
            finally:
                self._desk.project.leases.release(holder)

    def note_knowledge(self) -> None:
        """Say that the project has learned something: what was segmented ahead is out of date."""
        with self._lock:
            self._knowledge += 1

    def list(self) -> list[OpenSession]:
        """Return the sessions that are open."""
        with self._lock:
            return list(self._open.values())

    def next_image(
        self, *, after: int | None, order: str, ahead_of: int | None = None
    ) -> ImageRecord | None:
        """Return the unfinished image to go on with that nobody else works on, None if all is done.

        In the order of the list the one behind `after`, beginning again at the end; by
        uncertainty the least certain one that was pre-segmented.
        """
        taken = {one.image for one in self._desk.project.leases.all()} - {ahead_of}
        free = [
            one
            for one in self._desk.project.images.find(states=UNFINISHED)
            if one.id not in taken and one.id != after
        ]
        if order == "uncertain":
            judged = [one for one in free if one.uncertainty is not None]
            if judged:
                return max(judged, key=lambda one: (one.uncertainty or 0.0, -one.id))
        behind = [one for one in free if after is not None and one.id > after]
        return next(iter(behind or free), None)

    def prepare(self, image: int, author: str) -> None:
        """Read, encode and pre-segment an image in the background, for somebody who comes next."""
        with self._lock:
            known = self._prepared.get(image)
            if image in self._preparing or (
                known is not None and known.knowledge == self._knowledge
            ):
                return
            stop = _Stop(self._knowledge)
            job = self._background.submit(self._prepare, image, author, stop)
            self._preparing[image] = (stop, job)

    def encode(self, opened: OpenSession) -> None:
        """Encode in the background what a person sees first of an image, for the first click.

        A click that comes earlier waits for it; a session that is closed earlier needs it no more.
        """
        # By name alone: on a busy server many wait here, and those that end must not be held.
        self._encoding.submit(self._encode, opened.holder)

    def sweep(self) -> None:
        """End what has run out, and save what has changed; called every few seconds."""
        for opened in self.list():
            try:
                if opened.expires <= self._clock():
                    self.close(opened.holder)
                else:
                    self.save(opened)
            except MedprismError:
                # It stays unsaved and is tried again.
                _log.warning("a session could not be saved")

    def shut_down(self) -> None:
        """Save and end everything."""
        with self._lock:
            for stop, _ in self._preparing.values():
                stop.is_wanted.set()
        self._encoding.shutdown(wait=True, cancel_futures=True)
        self._background.shutdown(wait=True, cancel_futures=True)
        for opened in self.list():
            try:
                self.close(opened.holder)
            except MedprismError:
                _log.warning("a session could not be saved")

    def _take(self, image: int, author: str, *, wants_presegment: bool) -> Opened:
        """Return what was made ready for this person, else open the image now."""
        self._catch_up(image, wants_presegment=wants_presegment)
        with self._lock:
            prepared = self._prepared.pop(image, None)
            is_current = prepared is not None and prepared.knowledge == self._knowledge
        if prepared is not None and prepared.author == author and is_current:
            return prepared.opened
        opened = open_session(self._desk, image, author)
        if wants_presegment and len(opened.session.log) == 0:
            with self._turns.for_a_person():
                presegment(self._desk, opened.session, image)
        return opened

    def _catch_up(self, image: int, *, wants_presegment: bool) -> None:
        """Wait until an image is made ready; what has not begun, or is out of date, is dropped.

        Who is waited for gives way no longer: on a busy server its turn might never come.
        """
        with self._lock:
            running = self._preparing.get(image)
            if running is None:
                return
            stop, job = running
            if job.cancel():
                self._preparing.pop(image, None)
                return
            if not wants_presegment or stop.knowledge != self._knowledge:
                stop.is_wanted.set()
        stop.is_awaited.set()
        wait([job])

    def _prepare(self, image: int, author: str, stop: _Stop) -> None:
        try:
            self._turns.give_way(stop.is_pressing)
            opened = open_session(self._desk, image, author)
            if len(opened.session.log) == 0:
                progress = Courteous(self._turns, stop, stop.is_pressing)
                presegment(self._desk, opened.session, image, progress)
                encode_ahead(self._desk, image)
            with self._lock:
                self._prepared[image] = _Prepared(author, stop.knowledge, opened)
                while len(self._prepared) > MOST_PREPARED:
                    self._prepared.popitem(last=False)
        except MedprismError:
            # Opening it will say what is wrong, to the person it concerns.
            _log.debug("an image could not be made ready")
        finally:
            with self._lock:
                self._preparing.pop(image, None)

    def _encode(self, holder: str) -> None:
        with self._lock:
            opened = self._open.get(holder)
        if opened is None:
            return
        try:
            # Who has clicked already has had it encoded.
            self._turns.give_way(lambda: opened.is_closed or opened.is_begun)
            if opened.is_closed or opened.is_begun:
                return
            with opened.lock:
                first = shown_first(opened.session)
            encode_ahead(self._desk, opened.image, first)
        except MedprismError:
            # The first click will say what is wrong.
            _log.debug("an image could not be encoded ahead")

    def _end_on(self, image: int, *, only_over: bool) -> None:
        """Save and end a session on an image before another one begins there."""
        present = self._clock()
        for opened in self.list():
            if opened.image == image and (opened.expires <= present or not only_over):
                self.close(opened.holder)

"""Images that a client uploads for inference alone; they vanish after a while."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medprism.core.errors import FullError, UnknownEntryError
from medprism.core.steady_clock import steady_time
from medprism.io.reader import read_image
from medprism.project.confinement import safe_name
from medprism.project.uploads import Upload

_CHUNK = 1 << 20
MOST = 32
EXPIRY_SECONDS = 3600


@dataclass(frozen=True, eq=False)
class UploadSession:
    """One uploaded image: a file, or a folder of several; times in seconds."""

    id: str
    name: str
    path: Path
    created: float
    expires: float


class UploadSessions:
    """Keeps uploads in a temporary folder of this process."""

    def __init__(self, clock: Callable[[], float] = steady_time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, UploadSession] = {}

    def add(self, files: Sequence[Upload], expiry: int = 0) -> UploadSession:
        """Keep files and check that they are an image.

        Raises:
            FullError: too many are kept.
            ImageReadError: they are no image.
        """
        self.sweep()
        with self._lock:
            if len(self._sessions) >= MOST:
                raise FullError(f"{MOST} uploads are kept; delete one, or try again later")
        folder = Path(tempfile.mkdtemp(prefix="medprism-upload-"))
        try:
            for one in files:
                with (folder / safe_name(one.name or "image")).open("wb") as target:
                    shutil.copyfileobj(one.content, target, _CHUNK)
            only = sorted(folder.iterdir())
            path = only[0] if len(only) == 1 else folder
            read_image(path)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        present = self._clock()
        seconds = min(expiry, EXPIRY_SECONDS) if expiry > 0 else EXPIRY_SECONDS
        found = UploadSession(secrets.token_hex(16), path.name, path, present, present + seconds)
        with self._lock:
            self._sessions[found.id] = found
        return found

    def get(self, session: str) -> UploadSession:
        """Return a kept upload.

        Raises:
            UnknownEntryError: there is none of this id, or it has run out.
        """
        self.sweep()
        with self._lock:
            found = self._sessions.get(session)
        if found is None:
            raise UnknownEntryError("there is no such upload, or it has run out; upload it again")
        return found

    def remove(self, session: str) -> UploadSession:
        """Forget an upload and return what it was."""
        found = self.get(session)
        with self._lock:
            self._sessions.pop(session, None)
        _delete(found)
        return found

    def sweep(self) -> None:
        """Forget what has run out."""
        present = self._clock()
        with self._lock:
            over = [one for one in self._sessions.values() if one.expires <= present]
            for one in over:
                del self._sessions[one.id]
        for one in over:
            _delete(one)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            every = list(self._sessions.values())
            self._sessions.clear()
        for one in every:
            _delete(one)


def _delete(session: UploadSession) -> None:
    folder = session.path if session.path.is_dir() else session.path.parent
    shutil.rmtree(folder, ignore_errors=True)

"""One call at a time: what makes an object that several threads share safe."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar, runtime_checkable


@runtime_checkable
class Shared(Protocol):
    """An object with a lock of its own, which its methods may take again."""

    _lock: threading.RLock


_Owner = TypeVar("_Owner", bound=Shared)
_Args = ParamSpec("_Args")
_Answer = TypeVar("_Answer")


def one_at_a_time(
    method: Callable[Concatenate[_Owner, _Args], _Answer],
) -> Callable[Concatenate[_Owner, _Args], _Answer]:
    """Let a method run only while no other thread is in one of the same object."""

    @functools.wraps(method)
    def locked(self: _Owner, /, *args: _Args.args, **kwargs: _Args.kwargs) -> _Answer:
        with self._lock:
            return method(self, *args, **kwargs)

    return locked

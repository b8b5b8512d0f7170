"""The segmenter by brightness, which waits when told to: for tests of what happens meanwhile."""

from __future__ import annotations

import threading

from medprism.models.segmenter import Decoded, Features, Prompts
from tests.inference.fake_segmenter import FakeSegmenter

_LONGEST = 30.0


class PatientSegmenter(FakeSegmenter):
    """Decodes when it is let; `is_waiting` is set while it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.is_waiting = threading.Event()
        self._may_go = threading.Event()
        self._may_go.set()
        self._left: int | None = None

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Wait if it is time to, then decode."""
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self.is_waiting.set()
                assert self._may_go.wait(_LONGEST)
        return super().decode(features, prompts)

    def hold(self, after: int = 0) -> None:
        """Wait at every decode after so many more."""
        self.is_waiting.clear()
        self._may_go.clear()
        self._left = after

    def go_on(self) -> None:
        """Wait no more."""
        self._left = None
        self._may_go.set()

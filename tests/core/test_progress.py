from __future__ import annotations

from medprism.core.progress import Progress, SilentProgress


def test_the_silent_progress_never_cancels() -> None:
    progress: Progress = SilentProgress()
    progress.report(1, 2, "half")
    assert progress.is_cancelled() is False

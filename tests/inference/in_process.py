"""A cluster of one worker in this process, so that what a cluster does can be tried without one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medprism.inference.archive_record import Line
from medprism.inference.cluster import ArchiveOrder, StudyWorker


@dataclass(frozen=True)
class InProcess:
    """Answers the first `most` studies, last ones first, and then is gone."""

    most: int = 99

    def spread(self, studies: Sequence[Path], order: ArchiveOrder) -> Iterator[Line]:
        """Yield a line a study."""
        worker = StudyWorker(order)
        for study in list(reversed(studies))[: self.most]:
            yield worker.work(study)

"""What `medprism predict --ray` does once its arguments are read."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from medprism.apps.cli.progress_bar import progress_bar
from medprism.core.errors import ConfigError, WriteError
from medprism.core.progress import Progress
from medprism.inference.cluster import ArchiveOrder, ClusterReport, segment_archive
from medprism.inference.ray_cluster import LOCAL, RayCluster
from medprism.io.writer import MASK_SUFFIXES, suffix_of

# Where nobody watches a bar, a line as often as this says how far it is.
SECONDS: Final = 30.0


@dataclass
class SaysNowAndThen:
    """A progress that passes everything on, and without a terminal prints a line now and then."""

    shown: Progress
    every: float = SECONDS
    _last: float = field(default_factory=time.monotonic)

    def report(self, done: int, total: int, message: str = "") -> None:
        """Show the message; print it if the last line is old enough."""
        self.shown.report(done, total, message)
        if not sys.stderr.isatty() and time.monotonic() - self._last >= self.every:
            self._last = time.monotonic()
            print(f"{done} of {total}: {message}", file=sys.stderr, flush=True)

    def is_cancelled(self) -> bool:
        """Return what the other one says."""
        return self.shown.is_cancelled()


def segment_on_ray(
    folder: Path,
    order: ArchiveOrder,
    address: str,
    workers: int | None,
    others: Mapping[str, object],
) -> ClusterReport:
    """Segment an archive on a Ray cluster; `others` are options that do not go with it.

    Raises:
        ConfigError: one of them is given.
        WriteError: the image is no folder, or the masks are to go into one file.
        MedprismError: see `inference.cluster.segment_archive`.
    """
    given = [name for name, value in others.items() if value]
    if given:
        raise ConfigError(
            f"{', '.join(given)} does not go with --ray, which segments a folder of studies; leave "
            "it out"
        )
    if not folder.is_dir():
        raise WriteError(f"{folder} is no folder of studies, which --ray takes; leave --ray out")
    if suffix_of(order.masks.path, tuple(MASK_SUFFIXES)) is not None:
        raise WriteError(
            f"{order.masks.path} names one file, and --ray writes a folder of masks; name a folder"
        )
    cluster = RayCluster(address=address or LOCAL, workers=workers)
    with progress_bar("segmenting") as bar:
        return segment_archive(folder, order, cluster, SaysNowAndThen(bar))


def summary(report: ClusterReport) -> str:
    """Return what is printed about an archive: counts, time and rate.

    >>> summary(ClusterReport((), (), before=0, seconds=0.0))
    '0 segmented (0 of them before), 0 left out; 0.0 s, 0.00 a second'
    """
    return (
        f"{len(report.segmented)} segmented ({report.before} of them before), "
        f"{len(report.failed)} left out; {report.seconds:.1f} s, {report.per_second:.2f} a second"
    )

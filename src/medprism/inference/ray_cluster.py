"""Studies handed out through Ray Data, on a Ray of this machine or on a cluster.

Ray starts a worker that dies anew and gives its studies out again; how often one study may end a
worker is bounded by `attempts`.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from medprism.core.errors import ConfigError, LostProcessError
from medprism.inference.archive_record import Line
from medprism.inference.cluster import ArchiveOrder, StudyWorker

LOCAL: Final = "local"
PATIENCE_SECONDS: Final = 10.0
# Lines come back a block at a time; Ray plans badly with many more blocks than this.
MOST_BLOCKS: Final = 10_000
# Of a Ray on this machine; only names of studies and lines go through it, and it would take a third
# of the memory.
OBJECT_BYTES: Final = 2**28


@dataclass(frozen=True, kw_only=True)
class RayCluster:
    """A Ray cluster by its address, or `LOCAL` for one that is started on this machine.

    `workers` processes open the model; None is as many as the cluster has CPUs (GPUs for an engine
    on GPUs) for. `local_cpus` are those a Ray of this machine may use, all by default.
    """

    address: str = LOCAL
    workers: int | None = None
    local_cpus: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"--workers must be at least 1, got {self.workers}")

    def spread(self, studies: Sequence[Path], order: ArchiveOrder) -> Iterator[Line]:
        """Yield a line for every study as blocks of them are finished.

        Raises:
            ConfigError: Ray is not installed, or the cluster cannot be reached.
            LostProcessError: the cluster ended the work.
        """
        check_address(self.address)
        ray = _import_ray()
        with self._connected(ray, order):
            try:
                yield from self._lines(ray, studies, order)
            except ray.exceptions.RayError as error:
                reason = " ".join(str(error).split())[-400:]
                raise LostProcessError(
                    f"Ray gave the work up ({reason}); masks that are finished stay, and the same "
                    "command goes on"
                ) from error

    def _lines(
        self,
        ray: ModuleType,
        studies: Sequence[Path],
        order: ArchiveOrder,
    ) -> Iterator[Line]:
        rows = [{"study": str(study.absolute())} for study in studies]
        data = ray.data.from_items(rows, override_num_blocks=min(len(rows), MOST_BLOCKS))
        uses_gpu = order.engine.startswith("cuda")
        found = data.map(
            _Answers,
            fn_constructor_args=(order.absolute(),),
            compute=ray.data.ActorPoolStrategy(size=self._pool(ray, order, uses_gpu=uses_gpu)),
            num_cpus=order.threads,
            num_gpus=1 if uses_gpu else None,
        )
        for row in found.iter_rows():
            yield json.loads(row["line"])

    def _pool(self, ray: ModuleType, order: ArchiveOrder, *, uses_gpu: bool) -> int:
        if self.workers is not None:
            return self.workers
        there = ray.cluster_resources()
        fit = there.get("CPU", 1) // order.threads
        return max(1, int(min(fit, there.get("GPU", 0)) if uses_gpu else fit))

    @contextmanager
    def _connected(self, ray: ModuleType, order: ArchiveOrder) -> Iterator[None]:
        settings: dict[str, Any] = {"address": self.address}
        if self.address == LOCAL:
            cpus = self.local_cpus
            if self.workers is not None:
                cpus = max(cpus or 0, self.workers * order.threads)
            settings |= {
                "num_cpus": cpus,
                "include_dashboard": False,
                "object_store_memory": OBJECT_BYTES,
            }
        try:
            ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _unreachable(self.address, error) from error
        try:
            yield
        finally:
            ray.shutdown()


class _Answers:
    """A worker as Ray Data calls it: rows are values that Arrow knows."""

    def __init__(self, order: ArchiveOrder) -> None:
        self._worker = StudyWorker(order)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"line": json.dumps(self._worker.work(Path(row["study"])))}


def check_address(address: str) -> None:
    """Refuse an address at which nobody listens; Ray itself would try for minutes.

    Raises:
        ConfigError: it is no HOST:PORT, or nothing answers there within seconds.
    """
    if address in (LOCAL, "auto"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(
            f"{address!r} is no address of a Ray cluster; give HOST:PORT of its head, or `local`"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"cannot reach a Ray cluster at {address!r} ({' '.join(str(error).split())[:200]}); give "
        "HOST:PORT of its head, or `local`"
    )


def _import_ray() -> ModuleType:
    # Ray reports how it is used over the network unless it is told not to before it starts.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # What its core says of itself belongs into its log files, unless somebody asks for more.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise ConfigError(
            "a cluster needs Ray Data, which is not installed: pip install 'medprism[ray]'"
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    module: ModuleType = ray
    return module

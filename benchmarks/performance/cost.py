"""One piece of work, measured in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

Work = Callable[[], object]
MATMUL: Final = 2048
MEGABYTE: Final = 2**20


@dataclass(frozen=True)
class Cost:
    """What a piece of work takes; medians of several repeats.

    `share` is GFLOP a CPU-second over the rate of a matrix product in the same precision, timed in
    the same run on as many threads; None where arithmetic was not counted. `megabytes` is the peak
    of the whole process, interpreter and weights included.
    """

    cpu_seconds: float
    wall_p50: float
    wall_p95: float
    megabytes: float
    gflop: float | None
    share: float | None
    repeats: int


@dataclass(frozen=True)
class Rates:
    """GFLOP a CPU-second of one matrix product, by precision ("fp32", "bf16")."""

    gflops: dict[str, float]


def matmul_rates(repeats: int, side: int = MATMUL) -> Rates:
    """Time products of two square matrices in this process."""
    found = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        one, other = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
        seconds = [_cpu(lambda a=one, b=other: a @ b)[0] for _ in range(repeats + 1)][1:]
        found[name] = 2 * side**3 / 1e9 / statistics.median(seconds)
    return Rates(found)


@dataclass(frozen=True)
class Way:
    """How a piece of work is measured.

    Repeats end once they have taken `seconds`; there is at least one. With `counts` its arithmetic
    is counted in one more repeat, which only PyTorch's own operations allow; with `learns` it keeps
    gradients.
    """

    repeats: int
    threads: int
    seconds: float
    counts: bool = True
    learns: bool = False


def measure(prepare: Callable[[], Work], rate: float, way: Way) -> Cost:
    """Prepare and repeat a piece of work in a forked process; the first repeat is not counted.

    `rate` is that of `matmul_rates` in the precision the work is done in.

    Raises:
        RuntimeError: the process ended before it was done.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(theirs, prepare, way))
    process.start()
    theirs.close()
    try:
        cpu, wall, megabytes, gflop = ours.recv()
    except EOFError as error:
        process.join()
        raise RuntimeError(f"a measurement ended with status {process.exitcode}") from error
    process.join()
    seconds = statistics.median(cpu)
    return Cost(
        cpu_seconds=round(seconds, 5),
        wall_p50=round(statistics.median(wall), 5),
        wall_p95=round(float(np.percentile(wall, 95)), 5),
        megabytes=round(megabytes, 1),
        gflop=None if gflop is None else round(gflop, 3),
        share=None if gflop is None or seconds == 0 else round(gflop / seconds / rate, 4),
        repeats=len(cpu),
    )


def _child(pipe: Connection, prepare: Callable[[], Work], way: Way) -> None:
    torch.set_num_threads(way.threads)
    with torch.inference_mode(not way.learns):
        work = prepare()
        work()
        taken = [_cpu(work)]
        while len(taken) < way.repeats and sum(wall for _, wall in taken) < way.seconds:
            taken.append(_cpu(work))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        gflop = None
        if way.counts:
            with FlopCounterMode(display=False) as counter:
                work()
            gflop = counter.get_total_flops() / 1e9
    pipe.send(([one[0] for one in taken], [one[1] for one in taken], peak, gflop))


def _cpu(work: Work) -> tuple[float, float]:
    """Return CPU seconds of all threads and wall seconds of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def load_average() -> float:
    """Return how many processes wanted a core in the last minute."""
    return float(Path("/proc/loadavg").read_text(encoding="ascii").split()[0])

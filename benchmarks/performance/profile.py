"""Where the time goes: shares of the operations of one piece of work."""

from __future__ import annotations

from typing import Final

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.performance.cost import Work
from benchmarks.performance.pieces import Bench, Setting, literal_session
from medprism.evaluation.page import table

LONGEST: Final = 12


def shares(work: Work) -> list[tuple[str, float, int]]:
    """Return the operations that take longest: name, share of all CPU time, number of calls."""
    with torch.inference_mode():
        work()
        with profile(activities=[ProfilerActivity.CPU]) as found:
            work()
    events = sorted(found.key_averages(), key=lambda one: one.self_cpu_time_total, reverse=True)
    total = sum(one.self_cpu_time_total for one in events)
    return [(one.key, one.self_cpu_time_total / total, int(one.count)) for one in events[:LONGEST]]


def before_and_after(setting: Setting, threads: int) -> str:
    """Return the operations of a session of clicks in the literal form, and as it is."""
    torch.set_num_threads(threads)
    bench = Bench(setting.segmenter(threads), setting.side)
    parts = []
    for title, work in (
        ("Literal form, nothing cached", literal_session(bench, 5)),
        ("As it is", bench.session(5)),
    ):
        rows = [[name, f"{share:.1%}", str(count)] for name, share, count in shares(work)]
        header = ("operation", "share of CPU time", "calls")
        parts.append(f"{title}, {setting.preset} at {setting.side}:\n\n{table(header, rows)}")
    return "\n\n".join(parts)

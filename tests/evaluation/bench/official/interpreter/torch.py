"""As much of torch as the packages beside it need, so that a child starts at once."""

from __future__ import annotations

from types import SimpleNamespace

__version__ = "2.0.fake"
cuda = SimpleNamespace(is_available=lambda: False)
threads: list[int] = []


class device:  # noqa: N801
    def __init__(self, name: str) -> None:
        if name not in ("cpu", "cuda"):
            raise RuntimeError(f"Expected one of cpu, cuda device type, got: {name}")
        if name == "cuda":
            raise RuntimeError("Torch not compiled with CUDA enabled")
        self.type = name

    def __str__(self) -> str:
        return self.type


def set_num_threads(count: int) -> None:
    threads.append(count)

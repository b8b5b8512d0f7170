"""A run in a process of its own, to be killed: `python -m tests.training.killed_run DIR STEPS`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from .runs import run, small_config

if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), small_config(int(sys.argv[2])), save_every=1)

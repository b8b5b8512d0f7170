"""A nano that knows two of the three structures of the phantoms, as a file for tests.

`python -m tests.training.taught_nano` trains it anew (about two minutes) and replaces the file.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch

from medprism.core.concepts import Concept, ConceptTable
from medprism.models.checkpoint import CheckpointInfo, save_checkpoint, to_half
from medprism.models.kprism.config import kprism_nano
from medprism.models.kprism.model import KPrism
from medprism.training.config import StageConfig, TrainConfig
from medprism.training.loop import STATE_FILE, Schedule, train
from medprism.training.state import read_average
from tests.phantoms import NAMES
from tests.training.phantom_sampler import PhantomSampler
from tests.training.runs import Notes

PATH: Final = Path(__file__).parent / "golden" / "nano-hook-flag.safetensors"
KNOWN: Final = NAMES[:2]
NEW: Final = NAMES[2]
SIZE: Final = 64


def teach(steps: int = 900) -> None:
    """Train the nano on 400 phantoms and write its checkpoint."""
    torch.manual_seed(1)
    model = KPrism(kprism_nano(len(KNOWN)))
    config = TrainConfig(
        preset="kprism-nano",
        steps=steps,
        stages=(StageConfig(size=SIZE, share=1.0, requests=8),),
        odds=(0.4, 0.4, 0.2),
        peak_rate=2e-3,
        ema=0.98,
        self_reference_until=0.3,
        bfloat16=False,
    )
    notes = Notes()
    with TemporaryDirectory() as folder:
        train(
            model,
            PhantomSampler(400, len(KNOWN)),
            config,
            Path(folder),
            schedule=Schedule(save_every=steps),
            validate=None,
            on_best=None,
            log=notes,
            progress=notes,
        )
        weights = read_average(Path(folder) / STATE_FILE)
    info = CheckpointInfo(
        name="kprism-nano",
        architecture="kprism",
        config=kprism_nano(len(KNOWN)).to_json(),
        concepts=ConceptTable(tuple(Concept(name) for name in KNOWN)),
        preprocessing={"long_side": SIZE},
        training={"sets": [{"name": "phantoms", "licence": "CC0"}]},
        card={"licence": "CC0", "intended_use": "tests"},
        code_version="0.1.0",
    )
    save_checkpoint(PATH, info, to_half(weights))


if __name__ == "__main__":
    torch.set_num_threads(1)
    teach()

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from medprism.core.errors import ConfigError
from medprism.training.distributed import Alone
from medprism.training.memory_settings import MemorySettings
from medprism.training.recipes import kprism_nano
from medprism.training.task_step import learn_tasks

from .pair import Tensors, learn, make_double
from .phantom_sampler import PhantomSampler
from .two_tasks import BoxSampler, make_tasks, task_config


def _kprism(folder: Path, parts: int) -> Tensors:
    memory = MemorySettings(accumulate=parts)
    return learn(make_double(), PhantomSampler(8), kprism_nano(4), folder, Alone(), memory=memory)


def _close(one: Tensor, other: Tensor, tolerance: float) -> bool:
    return torch.allclose(one.double(), other.double(), rtol=0, atol=tolerance)


def test_a_batch_in_parts_teaches_what_the_whole_batch_does(tmp_path: Path) -> None:
    whole, parts = _kprism(tmp_path / "whole", 1), _kprism(tmp_path / "parts", 4)
    assert all(_close(whole[name], parts[name], 1e-6) for name in whole)
    assert not torch.equal(whole["decoder.level"], parts["decoder.level"])


def test_prototypes_take_in_all_parts_of_a_batch_at_once(tmp_path: Path) -> None:
    config = task_config(2, peak_rate=1e-7, final_rate=1e-7)
    whole, parts = (
        learn(
            make_tasks(),
            BoxSampler(),
            config,
            tmp_path / str(number),
            Alone(),
            learn_tasks,
            memory=MemorySettings(accumulate=number),
        )
        for number in (1, 2)
    )
    banks = [name for name in whole if "bank." in name]
    assert banks and all(_close(whole[name], parts[name], 1e-5) for name in banks)


def test_parts_are_refused_where_the_whole_batch_is_looked_at(tmp_path: Path) -> None:
    memory = MemorySettings(accumulate=2)
    with pytest.raises(ConfigError, match=r"--accumulate 2 .* whole batch; use --recompute"):
        model = make_double(batch_norm=True)
        learn(model, PhantomSampler(8), kprism_nano(1), tmp_path, Alone(), memory=memory)


def test_more_parts_than_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="4 images cannot feed 5 processes"):
        _kprism(tmp_path / "run", 5)


def test_no_part_is_no_setting() -> None:
    with pytest.raises(ConfigError, match="--accumulate must be at least 1"):
        MemorySettings(accumulate=0)

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from benchmarks.resident_memory import resident_megabytes

from medprism.inference.own_pages import SMALLEST_BYTES, in_own_pages


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.uint8])
def test_a_copy_has_the_same_values_shape_and_type(dtype: torch.dtype) -> None:
    scattered = torch.arange(2 * 3 * 200 * 201).reshape(2, 3, 200, 201).to(dtype).transpose(1, 3)
    copy = in_own_pages(scattered)
    assert (copy.dtype, copy.shape) == (dtype, scattered.shape)
    assert torch.equal(copy, scattered)
    assert copy.is_contiguous()
    assert copy.data_ptr() != scattered.data_ptr()


@torch.inference_mode()
def test_tensors_made_for_inference_alone_are_copied_too() -> None:
    made = torch.rand(300, 300) + 1
    assert torch.equal(in_own_pages(made), made)


def test_small_tensors_and_those_without_values_stay_where_they_are() -> None:
    for tensor in (torch.rand(SMALLEST_BYTES // 4 - 1), torch.rand(0, 5)):
        assert in_own_pages(tensor) is tensor


def test_pages_last_as_long_as_their_tensor_and_go_with_it() -> None:
    pytest.importorskip("resource")
    ones = torch.ones(2**22)
    before = resident_megabytes()
    kept = [in_own_pages(ones) for _ in range(4)]
    gc.collect()
    assert all(float(one.sum()) == 2**22 for one in kept)
    during = resident_megabytes()
    last = weakref.ref(kept[-1])
    kept.clear()
    gc.collect()
    assert last() is None
    assert during - before > 60
    assert resident_megabytes() - before < 20

from __future__ import annotations

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from benchmarks.resident_memory import resident_megabytes
from torch import Tensor

from medprism.core.concepts import ConceptTable
from medprism.engines.loaded import LoadedModel
from medprism.engines.one_thread import ModelThread
from medprism.models.kprism.config import kprism_compact, kprism_nano
from medprism.models.segmenter import Features, Segmenter
from tests.models.kprism.questions import draw_question, make_model, prompts_of


class _Watched:
    """Notes on which thread a segmenter encodes, and whether gradients are wanted there."""

    def __init__(self, inner: Segmenter) -> None:
        self._inner = inner
        self.seen: set[tuple[str, bool, bool]] = set()

    def encode(self, image: Tensor) -> Features:
        mode = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
        self.seen.add((threading.current_thread().name, *mode))
        return self._inner.encode(image)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def _loaded(segmenter: Segmenter) -> LoadedModel:
    return LoadedModel(
        name="m",
        segmenter=segmenter,
        concepts=ConceptTable(()),
        long_side=64,
        weights_hash="w",
        engine="torch",
        threads=1,
        card={},
    )


@torch.inference_mode()
def test_the_answers_are_those_of_the_model_bit_for_bit() -> None:
    model = make_model(kprism_nano)
    hosted = ModelThread().host(_loaded(model)).segmenter
    assert isinstance(hosted, Segmenter)
    assert (hosted.accepts, hosted.spatial_dims) == (model.accepts, model.spatial_dims)
    question = draw_question(80, 48)
    features, wanted = hosted.encode(question.image), model.encode(question.image)
    assert all(torch.equal(a, b) for a, b in zip(features.maps, wanted.maps, strict=True))
    for kind in ("refine-semantic", "refine-in-context"):
        found = hosted.decode(features, prompts_of(hosted, question, kind))  # type: ignore[arg-type]
        right = model.decode(wanted, prompts_of(model, question, kind))  # type: ignore[arg-type]
        assert torch.equal(found.logits, right.logits)


def test_every_call_is_made_on_the_same_thread_and_in_the_mode_of_who_asks() -> None:
    watched = _Watched(make_model(kprism_nano))
    thread = ModelThread()
    hosted = thread.host(_loaded(watched)).segmenter  # type: ignore[arg-type]
    image = draw_question(48, 48).image

    @torch.inference_mode()
    def ask(_: int) -> None:
        hosted.encode(image)

    with ThreadPoolExecutor(6) as people:
        list(people.map(ask, range(24)))
    assert watched.seen == {("model_0", True, False)}
    watched.seen.clear()
    assert hosted.encode(image).maps[0].requires_grad
    with torch.no_grad():
        assert not hosted.encode(image).maps[0].requires_grad
    assert watched.seen == {("model_0", False, True), ("model_0", False, False)}


def test_what_goes_wrong_is_raised_where_it_was_asked_and_the_next_call_works() -> None:
    thread = ModelThread()
    with pytest.raises(ZeroDivisionError):
        thread.run(lambda: 1 // 0)
    assert thread.run(lambda: 3) == 3
    thread.shut_down()
    with pytest.raises(RuntimeError, match="after shutdown"):
        thread.run(lambda: 4)


def test_many_people_cost_no_more_memory_than_one() -> None:
    pytest.importorskip("resource")
    hosted = ModelThread().host(_loaded(make_model(kprism_compact))).segmenter
    image = torch.zeros(1, 3, 256, 256)
    end = threading.Barrier(13)

    @torch.inference_mode()
    def ask() -> None:
        hosted.encode(image)
        # Nobody leaves before all have asked: what a thread keeps, it keeps until its end.
        end.wait(timeout=60)

    with torch.inference_mode():
        for _ in range(3):
            hosted.encode(image)
    gc.collect()
    before = resident_megabytes()
    people = [threading.Thread(target=ask) for _ in range(12)]
    for person in people:
        person.start()
    while end.n_waiting < 12:
        assert any(person.is_alive() for person in people)
        time.sleep(0.01)
    grown = resident_megabytes() - before
    end.wait(timeout=60)
    # On threads of their own they take 5 to 10 MB each.
    assert grown < 30

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medprism.core.errors import CancelledError, ConfigError, StoreError
from medprism.core.progress import SilentProgress
from medprism.data.store import SliceStore
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import load
from medprism.evaluation.engine_parity import check_engines, draw_cases
from medprism.models.segmenter import Decoded, Features, Prompts
from tests.models.checkpoints import save_nano


class Shifted:
    """A segmenter whose logits lie a little higher than those of the one inside."""

    def __init__(self, model: LoadedModel, by: float) -> None:
        self._inner, self._by = model.segmenter, by
        self.spatial_dims, self.accepts = 2, model.segmenter.accepts
        self.encode = model.segmenter.encode
        self.encode_references = model.segmenter.encode_references

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        decoded = self._inner.decode(features, prompts)
        return Decoded(decoded.logits + self._by, ())


class Stopped(SilentProgress):
    def is_cancelled(self) -> bool:
        return True


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parity") / "nano.safetensors"
    save_nano(path)
    return path


def test_sets_take_turns_and_the_choice_is_seeded(scenes: SliceStore, nano: Path) -> None:
    concepts = load(nano).concepts
    cases = list(draw_cases(scenes, concepts, 4))
    assert Counter(case.dataset for case in cases) == {"scenes": 2, "outside": 2}
    assert all(case.truth.any() for case in cases)
    again = list(draw_cases(scenes, concepts, 4))
    assert [case.image.digest for case in again] == [case.image.digest for case in cases]
    others = list(draw_cases(scenes, concepts, 40, seed=1))
    assert len({case.image.digest for case in others}) == len(others) == 7


def test_what_cannot_be_drawn_is_refused(scenes: SliceStore, nano: Path) -> None:
    concepts = load(nano).concepts
    with pytest.raises(ConfigError, match="at least 1"):
        draw_cases(scenes, concepts, 0)
    with pytest.raises(StoreError, match="'nowhere'"):
        draw_cases(scenes, concepts, 3, split="nowhere")


def test_an_engine_that_differs_is_found_out_and_an_equal_one_is_not(
    scenes: SliceStore, nano: Path
) -> None:
    plain = load(nano)
    engines = {
        "torch": plain,
        "torch-bf16": load(nano, engine="torch-bf16"),
        "openvino": replace(plain, engine="openvino"),
        "cuda": replace(plain, engine="cuda", segmenter=Shifted(plain, 0.3)),
    }
    cases = list(draw_cases(scenes, plain.concepts, 4))
    verdict = check_engines(engines.__getitem__, list(engines), cases, SilentProgress(), total=4)
    by_name = {trial.engine: trial for trial in verdict.trials}
    assert list(by_name) == list(engines)
    assert by_name["torch"].least_dice == by_name["openvino"].least_dice == 1.0
    assert set(by_name["torch"].dice_by_set) == {"scenes", "outside"}
    assert by_name["cuda"].least_dice < by_name["torch-bf16"].least_dice < 1.0
    assert not by_name["cuda"].passes
    assert verdict.fastest.passes
    assert (verdict.images, verdict.weights_hash) == (4, plain.weights_hash)
    assert verdict.threads == torch.get_num_threads()


def test_a_check_can_be_stopped(scenes: SliceStore, nano: Path) -> None:
    plain = load(nano)
    with pytest.raises(CancelledError, match="nothing was decided"):
        check_engines(
            lambda name: plain, ["torch"], draw_cases(scenes, plain.concepts, 2), Stopped(), total=2
        )

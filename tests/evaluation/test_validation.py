from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medprism.core.errors import ConfigError, StoreError
from medprism.core.prompt import Mask2d
from medprism.data.store import SliceStore
from medprism.engines.loaded import LoadedModel
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.validation import (
    Pair,
    ValidationConfig,
    choose_pairs,
    load_pair,
    make_validate,
    measure,
)
from medprism.inference.session import Session
from medprism.metrics.dice import dice
from medprism.models.kprism.config import kprism_nano
from medprism.models.kprism.model import KPrism
from medprism.prompts.clicks import next_click
from tests.evaluation.phantoms import concept_table, make_store, scene_model, write_scenes

CONCEPTS = concept_table("scenes")
NAMES = {"semantic", "one-shot", "clicks@1", "clicks@3", "clicks@5", "score"}


def loaded_pairs(store: SliceStore, settings: ValidationConfig) -> list[Pair]:
    references = FixedReferences(store, settings.seed)
    return [
        load_pair(store, CONCEPTS, references, number, target)
        for number, target in choose_pairs(store, CONCEPTS, settings)
    ]


def test_every_class_gets_one_case_before_any_gets_a_second(scenes: SliceStore) -> None:
    for limit in range(1, 7):
        pairs = choose_pairs(scenes, CONCEPTS, ValidationConfig(limit=limit))
        counts = [sum(t.concept == name for _, t in pairs) for name in CONCEPTS.names[:3]]
        assert sum(counts) == limit
        assert max(counts) - min(counts) <= 1
    assert {scenes.rows[number].split for number, _ in pairs} == {"val"}
    assert len({number for number, t in pairs if t.concept == "liver"}) == 2


def test_the_choice_depends_on_the_seed_only(scenes: SliceStore) -> None:
    settings = [ValidationConfig(limit=2, seed=seed) for seed in range(12)]
    chosen = [choose_pairs(scenes, CONCEPTS, one) for one in settings]
    assert chosen == [choose_pairs(scenes, CONCEPTS, one) for one in settings]
    assert len(set(chosen)) > 1


def test_sets_take_turns_and_new_patients_come_first(tmp_path: Path) -> None:
    names = [f"n{i}" for i in range(6)]
    big = write_scenes(tmp_path / "big", cases={"val": names}, images_per_patient=3)
    small = write_scenes(tmp_path / "small", cases={"val": ["s"]})
    store = make_store(tmp_path, big, small)
    table = concept_table("big", "small")
    for seed in range(6):
        settings = ValidationConfig(per_class=3, limit=99, seed=seed)
        liver = [n for n, t in choose_pairs(store, table, settings) if t.concept == "liver"]
        assert sorted(store.rows[n].dataset for n in liver) == ["big", "big", "small"]
        patients = {store.rows[n].patient for n in liver if store.rows[n].dataset == "big"}
        assert patients == {"patient0", "patient1"}


def test_a_model_that_knows_the_structures_scores_high(scenes: SliceStore) -> None:
    # The fake model works at 1/4 of the canvas, too coarse for the polyp.
    pairs = [pair for pair in loaded_pairs(scenes, ValidationConfig()) if pair.concept < 2]
    figures = measure(scene_model("scenes"), pairs, 5)
    assert set(figures) == NAMES
    assert figures["semantic"] > 0.8
    assert figures["one-shot"] > 0.8
    assert min(figures[f"clicks@{number}"] for number in (1, 3, 5)) > 0.8
    assert figures["score"] == pytest.approx(np.mean([figures[name] for name in NAMES - {"score"}]))


def test_figures_are_macro_over_classes(scenes: SliceStore) -> None:
    model = scene_model("scenes")
    pairs = loaded_pairs(scenes, ValidationConfig())
    liver = [pair for pair in pairs if pair.concept == 0]
    polyp = [pair for pair in pairs if pair.concept == 2]
    both = measure(model, [*liver, polyp[0]], 5)
    expected = (measure(model, liver, 5)["semantic"] + measure(model, polyp[:1], 5)["semantic"]) / 2
    assert both["semantic"] == pytest.approx(expected)


def test_wrong_knowledge_scores_low(scenes: SliceStore) -> None:
    pairs = loaded_pairs(scenes, ValidationConfig())
    swapped = [
        Pair((pair.concept + 1) % 3, pair.image, pair.truth, pairs[index - 1].reference)
        for index, pair in enumerate(pairs)
    ]
    right = measure(scene_model("scenes"), pairs, 5)
    wrong = measure(scene_model("scenes"), swapped, 5)
    assert wrong["semantic"] < right["semantic"] - 0.4
    assert wrong["clicks@3"] == right["clicks@3"]


def literal_figures(model: LoadedModel, pairs: list[Pair]) -> dict[str, float]:
    """Drive a session through every pair, one after the other."""
    session = Session(model, auto_zoom=False)
    names = model.concepts.names
    values: dict[str, dict[int, list[float]]] = {}

    def note(figure: str, pair: Pair, mask: Mask2d) -> None:
        values.setdefault(figure, {}).setdefault(pair.concept, []).append(dice(mask, pair.truth))

    for pair in pairs:
        session.set_image(pair.image)
        name = names[pair.concept]
        note("semantic", pair, session.predict(classes=[name])[name].mask)
        assert pair.reference is not None
        example = pair.reference.planes[0].unpack()
        session.set_references([pair.reference.image], [example], label="example")
        note("one-shot", pair, session.predict(labels=["example"])["example"].mask)
        mask = np.zeros_like(pair.truth)
        for number in range(1, 6):
            click = next_click(mask, pair.truth)
            if click is not None:
                mask = session.add_point_interaction((click.row, click.col), click.is_positive)
            if number in (1, 3, 5):
                note(f"clicks@{number}", pair, mask)
    figures = {
        name: float(np.mean([np.mean(dices) for dices in classes.values()]))
        for name, classes in values.items()
    }
    return {**figures, "score": float(np.mean(list(figures.values())))}


@pytest.mark.parametrize("kind", ["fake", "nano"])
def test_a_session_without_zoom_gives_the_same_figures(kind: str, scenes: SliceStore) -> None:
    model = scene_model("scenes")
    if kind == "nano":
        torch.manual_seed(2)
        nano = KPrism(kprism_nano(len(CONCEPTS))).eval()
        model = replace(model, segmenter=nano, long_side=64)
    pairs = loaded_pairs(scenes, ValidationConfig())
    found = measure(model, pairs, 5)
    assert found == pytest.approx(literal_figures(model, pairs), abs=1e-3)
    assert found["clicks@5"] > 0


def test_validate_is_repeatable_follows_the_weights_and_leaves_random_states_alone(
    scenes: SliceStore,
) -> None:
    config = kprism_nano(len(CONCEPTS))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    validate = make_validate(scenes, CONCEPTS, 64, config, ValidationConfig(limit=3))
    first, second = KPrism(config).state_dict(), KPrism(config).state_dict()
    torch.set_rng_state(before)
    figures = validate(first)
    assert torch.equal(torch.get_rng_state(), before)
    assert set(figures) == NAMES
    assert all(0 <= value <= 1 for value in figures.values())
    assert validate(second) != figures
    assert validate(first) == figures


def test_a_store_without_such_slices_is_refused(scenes: SliceStore) -> None:
    with pytest.raises(StoreError, match="no val slice that shows any of the 4 concepts"):
        make_validate(scenes, concept_table("elsewhere"), 64, kprism_nano(4))


@pytest.mark.parametrize("change", [{"per_class": 0}, {"limit": 0}, {"clicks": 4}])
def test_settings_are_checked(change: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="validation needs at least"):
        ValidationConfig(**change)

from __future__ import annotations

import pytest
import torch

from medprism.core.errors import ConfigError, ReferencePairError
from medprism.core.randomness import counter_rng
from medprism.models.iris.tuning import TuningSettings, class_losses, tune

from .episodes import draw_episode, make_iris, small
from .taught import dice, draw_boxes, teach


def test_tuning_turns_an_embedding_to_another_structure() -> None:
    model, _ = teach()
    rng = counter_rng(5, "tuning")
    (reference, shown), (image, masks) = draw_boxes(rng, 1), draw_boxes(rng, 6)
    with torch.no_grad():
        features = model.encode(image)
        start = model.encode_references(reference, shown)
    # The embedding of the bright box learns to mean the dark one.
    start, wanted = start.select_classes(torch.tensor([0])), masks[:, 1:]
    tuned = tune(
        model, features, wanted, start, settings=TuningSettings(steps=60, learning_rate=0.1)
    )
    assert tuned.losses[-1] < 0.5 * tuned.losses[0]
    others, hidden = draw_boxes(rng, 4)
    with torch.no_grad():
        found = [model.segment(others, tasks) > 0 for tasks in (start, tuned.tasks)]
    assert dice(found[0], hidden[:, 1:]) < 0.1
    assert dice(found[1], hidden[:, 1:]) > 0.7


@pytest.mark.parametrize("ndim", [2, 3])
def test_tuning_lowers_the_loss_and_leaves_the_weights_bit_for_bit(ndim: int) -> None:
    model = make_iris(small(ndim))
    episode = draw_episode(ndim, rows=2, classes=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode():
        features = model.encode(episode.image)
        start = model.encode_references(episode.reference[:1], episode.masks[:1])
    kept = start.tokens.clone()
    tuned = tune(
        model, features, episode.masks, start, settings=TuningSettings(steps=30, learning_rate=0.2)
    )
    assert len(tuned.losses) == 30
    # Random weights leave little to gain.
    assert tuned.losses[-1] < tuned.losses[0] - 0.01
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(start.tokens, kept)
    assert not tuned.tasks.tokens.requires_grad
    with torch.no_grad():
        logits = model.decode(model.encode(episode.image), tuned.tasks.repeat(2))
        after = class_losses(logits, episode.masks).mean()
    assert float(after) < tuned.losses[0]


def test_tuning_is_deterministic_and_its_order_named_by_the_seed() -> None:
    model = make_iris(small(2))
    episode = draw_episode(2, rows=4, classes=1)
    features = model.encode(episode.image)
    start = model.encode_references(episode.reference[:1], episode.masks[:1])
    found = [
        tune(
            model,
            features,
            episode.masks,
            start,
            settings=TuningSettings(steps=4, images=2, seed=seed),
        )
        for seed in (1, 1, 2)
    ]
    assert found[0].losses == found[1].losses
    assert torch.equal(found[0].tasks.tokens, found[1].tasks.tokens)
    assert found[0].losses != found[2].losses


def test_what_is_not_labelled_teaches_nothing() -> None:
    model = make_iris(small(2, decoder={"token_sight": "none", "writes": False}))
    episode = draw_episode(2, rows=2, classes=2)
    features = model.encode(episode.image)
    start = model.encode_references(episode.reference[:1], episode.masks[:1])
    labelled = torch.tensor([[True, False], [True, False]])
    tuned = tune(
        model,
        features,
        episode.masks,
        start,
        settings=TuningSettings(steps=2),
        labelled=labelled,
    )
    assert torch.equal(tuned.tasks.tokens[:, 1], start.tokens[:, 1])
    assert not torch.equal(tuned.tasks.tokens[:, 0], start.tokens[:, 0])


def test_bad_lessons_are_refused() -> None:
    model = make_iris(small(2))
    episode = draw_episode(2, rows=2, classes=2)
    features = model.encode(episode.image)
    start = model.encode_references(episode.reference, episode.masks)
    with pytest.raises(ReferencePairError, match="got 2 rows"):
        tune(model, features, episode.masks, start)
    one = start.select(torch.tensor([0]))
    with pytest.raises(ReferencePairError, match=r"masks of \(2, 2\)"):
        tune(model, features, episode.masks[:, :1], one)
    with pytest.raises(ReferencePairError, match="nothing is labelled"):
        nothing = torch.zeros(2, 2, dtype=torch.bool)
        tune(model, features, episode.masks, one, labelled=nothing)
    masks = episode.masks[:1].clone()
    masks[:, 1] = 0
    blind = model.encode_references(episode.reference[:1], masks)
    with pytest.raises(ReferencePairError, match=r"classes \[1\] are shown but"):
        tune(model, features, episode.masks, blind)


@pytest.mark.parametrize("change", [{"steps": 0}, {"images": 0}, {"learning_rate": 0.0}])
def test_settings_are_checked(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="tuning needs"):
        TuningSettings(**change)  # type: ignore[arg-type]

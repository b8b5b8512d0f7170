"""Iris on slices behind the contract of a session: against Iris itself, asked directly."""

from __future__ import annotations

import pytest
import torch

from medprism.core.errors import ConfigError, LabelError, PromptError
from medprism.models.iris.config import iris_nano, iris_nano_2d
from medprism.models.iris.embedding import TaskEmbeddings, ensemble
from medprism.models.iris.slices import SliceIris, mean_tasks
from medprism.models.segmenter import Clicks, Prompts, ReferenceFeatures, Segmenter

from .episodes import draw_episode

CLASSES = 4


def make_slices() -> SliceIris:
    torch.manual_seed(3)
    return SliceIris(iris_nano_2d(CLASSES)).eval()


def encode(
    model: SliceIris, requests: int = 2, refs: int = 3
) -> tuple[ReferenceFeatures, list[TaskEmbeddings]]:
    """Encode references through the contract, and each of them by Iris itself."""
    episode = draw_episode(2, rows=requests * refs, classes=1)
    valid = torch.ones(requests, refs, dtype=torch.bool)
    valid[0, 1:2] = False
    size = episode.reference.shape[-2:]
    with torch.no_grad():
        together = model.encode_references(
            episode.reference.reshape(requests, refs, 3, *size),
            episode.masks.reshape(requests, refs, *size),
            valid,
        )
        alone = [
            model.iris.encode_references(episode.reference[i : i + 1], episode.masks[i : i + 1])
            for i in range(requests * refs)
        ]
    return together, alone


def test_it_is_what_a_session_drives() -> None:
    model = make_slices()
    assert isinstance(model, Segmenter)
    assert (model.accepts.classes, model.accepts.references, model.accepts.clicks) == (
        True,
        True,
        False,
    )
    with pytest.raises(ConfigError, match="choose a preset of slices"):
        SliceIris(iris_nano(CLASSES))


def test_several_references_are_the_context_ensemble_of_those_that_count() -> None:
    model = make_slices()
    together, alone = encode(model)
    kept = [[alone[0], alone[2]], alone[3:]]
    for row, rows in enumerate(kept):
        tokens = torch.cat([one.tokens for one in rows])
        pool = TaskEmbeddings(tokens, torch.ones(len(rows), 1, dtype=torch.bool))
        expected = ensemble(pool)
        found = mean_tasks(together)
        assert bool(found.present[row])
        torch.testing.assert_close(found.tokens[row], expected.tokens[0])


def test_references_joined_afterwards_say_the_same() -> None:
    model = make_slices()
    episode = draw_episode(2, rows=3, classes=1)
    size, valid = episode.reference.shape[-2:], torch.ones(1, 1, dtype=torch.bool)
    with torch.no_grad():
        parts = [
            model.encode_references(
                episode.reference[i].reshape(1, 1, 3, *size),
                episode.masks[i].reshape(1, 1, *size),
                valid,
            )
            for i in range(3)
        ]
        at_once = model.encode_references(
            episode.reference[None], episode.masks.reshape(1, 3, *size), valid.expand(1, 3)
        )
    joined = ReferenceFeatures.concatenate(parts)
    torch.testing.assert_close(joined.summary, at_once.summary)
    assert torch.equal(joined.weight, at_once.weight)


def test_an_answer_is_that_of_iris_and_empty_masks_mean_nothing_is_meant() -> None:
    model = make_slices()
    together, alone = encode(model, requests=1, refs=1)
    image = draw_episode(2, rows=1).image
    with torch.no_grad():
        features = model.encode(image)
        found = model.decode(features, Prompts(references=together)).logits
        torch.testing.assert_close(found, model.iris.decode(features, alone[0])[:, 0])
        empty = model.encode_references(
            image[None], torch.zeros(1, 1, *image.shape[-2:]), torch.ones(1, 1, dtype=torch.bool)
        )
        nothing = model.decode(features, Prompts(references=empty)).logits
    assert bool((nothing < 0).all())


def test_a_class_is_asked_for_from_the_bank() -> None:
    model = make_slices()
    together, _ = encode(model)
    concept = torch.tensor([2, -1])
    with torch.no_grad():
        model.take_in(model.tally(concept, together))
        image = draw_episode(2, rows=1).image
        features = model.encode(image)
        one = together.map(lambda tensor: tensor[:1])
        by_reference = model.decode(features, Prompts(references=one)).logits
        by_class = model.decode(features, Prompts(concept=torch.tensor([2]))).logits
        never_seen = model.decode(features, Prompts(concept=torch.tensor([0]))).logits
        both = model.decode(features, Prompts(concept=torch.tensor([0]), references=one)).logits
    # The bank's first entry is what the only reference of the class said.
    torch.testing.assert_close(by_class, by_reference)
    assert torch.equal(both, by_reference)
    assert bool((never_seen < 0).all())
    assert model.iris.bank.count[:, 0].tolist() == [0, 0, 1, 0]


def test_what_it_cannot_be_asked_is_refused() -> None:
    model = make_slices()
    features = model.encode(draw_episode(2, rows=1).image)
    clicks = Clicks(
        torch.zeros(1, 1, 2),
        torch.ones(1, 1, dtype=torch.bool),
        torch.ones(1, 1, dtype=torch.bool),
    )
    with pytest.raises(PromptError, match="takes no clicks"):
        model.decode(features, Prompts(clicks=clicks))
    with pytest.raises(PromptError, match="give one of them"):
        model.decode(features, Prompts())
    with pytest.raises(LabelError, match="bank of 4 rows"):
        model.decode(features, Prompts(concept=torch.tensor([9])))

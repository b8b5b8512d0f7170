from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.lesions.prototypes import (
    BOTH,
    CLASS,
    PrototypeAsker,
    Prototypes,
    decode_with,
    kprism_of,
    make_prototypes,
)
from benchmarks.lesions.tasks import choose

from medprism.core.errors import ConfigError
from medprism.data.store import SliceStore
from medprism.data.vocabulary import training_concepts
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import from_weights
from medprism.evaluation.cases import StoreReader, targets_of
from medprism.inference.encoder import Encoder, View
from medprism.inference.encoding_cache import EncodingCache
from medprism.inference.reference_bank import Reference
from medprism.models.kprism.config import kprism_nano
from medprism.models.kprism.knowledge import pooled_summary
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Features, Prompts
from medprism.models.tpseg.config import tpseg_nano
from medprism.models.tpseg.model import TPSeg

from .phantoms import GREY, LESION, TASKS


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    concepts = training_concepts()
    torch.manual_seed(4)
    config = kprism_nano(len(concepts))
    return from_weights(config, KPrism(config).state_dict(), concepts, 64)


def test_by_class_alone_it_is_the_model_itself(loaded: LoadedModel) -> None:
    model = kprism_of(loaded)
    features = model.encode(torch.randn(1, 3, 64, 48))
    with torch.no_grad():
        own = model.decode(features, Prompts(concept=torch.tensor([7])))
        found = decode_with(model, features, 7, None)
    assert torch.equal(own.logits, found.logits)
    assert len(own.auxiliary) == len(found.auxiliary)


def test_prototypes_are_the_queries_of_all_references_together(
    store: Path, loaded: LoadedModel
) -> None:
    opened = SliceStore.open(store)
    targets = tuple(
        t for t in targets_of(opened, GREY, choose(opened, TASKS).concepts) if t.concept == LESION
    )
    kept = make_prototypes(loaded, opened, targets, images=5)
    # One training patient with two slices.
    assert kept.images == 2
    reader, encoder = StoreReader(opened), Encoder(loaded, EncodingCache())
    parts = []
    for number, row in enumerate(opened.rows):
        if row.dataset == GREY and row.split == "train":
            pair = Reference.from_pair(reader.image(number), reader.truth(number, targets[0]))
            parts.append(encoder.reference(pair, View(pair.image, 0)))
    whole = type(parts[0]).concatenate(parts)
    torch.testing.assert_close(kept.pooled, pooled_summary(whole))
    assert make_prototypes(loaded, opened, targets, images=1).images == 1


def test_prototypes_change_the_answer_beside_the_class_and_in_its_place(
    loaded: LoadedModel,
) -> None:
    model = kprism_of(loaded)
    features: Features = model.encode(torch.randn(1, 3, 64, 64))
    queries, dim = model.config.context_queries, model.config.decoder.dim
    kept = [Prototypes(torch.randn(1, 3, queries, dim), 2) for _ in range(2)]
    with torch.no_grad():
        answers = [
            decode_with(model, features, *asked).logits
            for asked in ((7, None), (7, kept[0]), (7, kept[1]), (None, kept[0]))
        ]
    for index, one in enumerate(answers):
        assert all(not torch.equal(one, other) for other in answers[index + 1 :])


def test_masks_lie_on_the_grid_of_the_picture(store: Path, loaded: LoadedModel) -> None:
    reader = StoreReader(SliceStore.open(store))
    model = kprism_of(loaded)
    shape = (1, 3, model.config.context_queries, model.config.decoder.dim)
    kept = {LESION: Prototypes(torch.randn(shape), 1)}
    by_class, both = (
        PrototypeAsker(loaded, kept, way).masks(reader, 0, (LESION,))[0] for way in (CLASS, BOTH)
    )
    assert by_class.shape == both.shape == (60, 44)
    assert by_class.dtype == np.bool_


def test_another_model_is_refused() -> None:
    concepts = training_concepts()
    torch.manual_seed(4)
    config = tpseg_nano(len(concepts))
    other = from_weights(config, TPSeg(config).state_dict(), concepts, 64)
    with pytest.raises(ConfigError, match="no K-Prism"):
        kprism_of(other)

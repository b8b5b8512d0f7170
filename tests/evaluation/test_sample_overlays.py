from __future__ import annotations

import numpy as np
import torch

from medprism.core.labels import Labels
from medprism.data.store import SliceStore
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.sample_overlays import draw_samples, make_sample_overlays
from medprism.evaluation.validation import Pair, ValidationConfig, choose_pairs, load_pair
from medprism.inference.session import Session
from medprism.io.overlay import overlay
from medprism.models.kprism.config import kprism_nano
from medprism.models.kprism.model import KPrism
from tests.evaluation.phantoms import concept_table, scene_model


def test_pictures_show_the_truth_beside_three_answers(scenes: SliceStore) -> None:
    concepts = concept_table("scenes")
    settings = ValidationConfig(per_class=1, limit=3)
    references = FixedReferences(scenes, 0)
    pairs = [
        load_pair(scenes, concepts, references, number, target)
        for number, target in choose_pairs(scenes, concepts, settings)
    ]
    pictures = draw_samples(scene_model("scenes"), pairs)
    assert len(pictures) == len(pairs) == 3
    for (name, picture), pair in zip(pictures.items(), pairs, strict=True):
        assert name.endswith(concepts.names[pair.concept])
        height, width = pair.truth.shape
        assert picture.shape == (height, 4 * width, 3)
        truth, by_class, by_example, by_clicks = np.split(picture, 4, axis=1)
        assert (truth == _drawn(pair, pair.truth)).all()
        session = Session(scene_model("scenes"), auto_zoom=False)
        session.set_image(pair.image)
        wanted = concepts.names[pair.concept]
        assert (by_class == _drawn(pair, session.predict(classes=[wanted])[wanted].mask)).all()
        assert pair.reference is not None
        session.set_references(
            pair.reference.image, pair.reference.planes[0].unpack(), label="example"
        )
        found = session.predict(labels=["example"])["example"].mask
        assert (by_example == _drawn(pair, found)).all()
        # Clicks leave their marks in the last panel.
        assert (by_clicks != _drawn(pair, pair.truth)).any()


def _drawn(pair: Pair, mask: np.ndarray) -> np.ndarray:
    return overlay(pair.image, Labels({"mask": mask}), 0)


def test_averaged_weights_are_drawn_without_touching_global_randomness(
    scenes: SliceStore,
) -> None:
    concepts = concept_table("scenes")
    config = kprism_nano(len(concepts))
    draw = make_sample_overlays(scenes, concepts, 64, config, count=2)
    torch.manual_seed(5)
    weights = KPrism(config).state_dict()
    before = torch.random.get_rng_state()
    one, other = draw(weights), draw(weights)
    assert torch.equal(before, torch.random.get_rng_state())
    assert list(one) == list(other) and len(one) == 2
    assert all((one[name] == other[name]).all() for name in one)

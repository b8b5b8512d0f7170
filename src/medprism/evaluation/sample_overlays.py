"""Pictures of a few validation cases while a run learns: the truth beside the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from medprism.core.concepts import ConceptTable
from medprism.core.labels import Labels
from medprism.core.prompt import Click, Mask2d
from medprism.data.store import SliceStore
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import from_weights
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.validation import Pair, ValidationConfig, choose_pairs, load_pair
from medprism.inference.session import Session
from medprism.io.overlay import overlay
from medprism.models.kprism.config import KPrismConfig
from medprism.prompts.clicks import next_click

CLICKS: Final = 3

Picture = UInt8[np.ndarray, "height width 3"]


def make_sample_overlays(
    store: SliceStore,
    concepts: ConceptTable,
    long_side: int,
    config: KPrismConfig,
    count: int = 6,
) -> Callable[[dict[str, Tensor]], dict[str, Picture]]:
    """Return a function that draws what averaged weights make of `count` fixed cases of `val`.

    Each picture shows, from left to right, the truth and the answers by class, by one reference
    and after three clicks.
    """
    settings = ValidationConfig(per_class=1, limit=count)
    references = FixedReferences(store, settings.seed)
    pairs = [
        load_pair(store, concepts, references, number, target)
        for number, target in choose_pairs(store, concepts, settings)
    ]

    def draw(weights: dict[str, Tensor]) -> dict[str, Picture]:
        return draw_samples(from_weights(config, weights, concepts, long_side), pairs)

    return draw


def draw_samples(model: LoadedModel, pairs: Sequence[Pair]) -> dict[str, Picture]:
    """Return one picture a pair, named by number and concept."""
    session = Session(model, auto_zoom=False)
    return {
        f"sample {number}: {model.concepts.names[pair.concept]}": _draw(session, pair)
        for number, pair in enumerate(pairs)
    }


def _draw(session: Session, pair: Pair) -> Picture:
    panels = [_panel(pair, pair.truth, ())]
    name = session.model.concepts.names[pair.concept]
    session.set_image(pair.image)
    panels.append(_panel(pair, session.predict(classes=[name])[name].mask, ()))
    if pair.reference is not None:
        image, mask = pair.reference.image, pair.reference.planes[0].unpack()
        session.set_references(image, mask, label="by example")
        found = session.predict(labels=["by example"])["by example"]
        panels.append(_panel(pair, found.mask, ()))
    mask = np.zeros_like(pair.truth)
    clicks: list[Click] = []
    for _ in range(CLICKS):
        click = next_click(mask, pair.truth)
        if click is None:
            break
        clicks.append(click)
        mask = session.add_point_interaction(
            (click.row, click.col), click.is_positive, label="by clicks"
        )
    return np.concatenate([*panels, _panel(pair, mask, clicks)], axis=1)


def _panel(pair: Pair, mask: Mask2d, clicks: Sequence[Click]) -> Picture:
    return overlay(pair.image, Labels({"mask": mask}), 0, clicks)

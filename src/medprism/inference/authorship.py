"""Who made the masks of an image: the model, and where a person helped."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from medprism.engines.loaded import LoadedModel
from medprism.inference.annotation import Annotation, LabelState
from medprism.io.mask_export import Algorithm


def describe_algorithm(model: LoadedModel, annotation: Annotation) -> Algorithm:
    """Return the name, version and weights of a model, and the labels a person had a hand in."""
    helped = frozenset(name for name, state in annotation.labels.items() if _is_helped(state))
    return Algorithm(
        name=f"medprism {Path(model.name).name}",
        version=f"{version('medprism')} ({model.weights_hash[:12]})",
        helped=helped,
    )


def _is_helped(state: LabelState) -> bool:
    """Say whether somebody clicked, drew or gave a mask."""
    results = [one.result for one in state.slices.values() if one.result is not None]
    return state.num_interactions > 0 or any(result.basis is None for result in results)

"""nnU-Net v2 with a trained folder of the user's: all its labels on a slice, by name [nnUNet]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float32

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.errors import CheckpointError, InternalError, LabelError
from medprism.core.image import Image
from medprism.data.vocabulary import shared_concept
from medprism.evaluation.bench.official.packages import OfficialOrder
from medprism.evaluation.bench.official.process import (
    UNREADABLE,
    WEIGHTS_REFUSED,
    RunnerError,
)
from medprism.evaluation.bench.official.sessions import (
    Asks,
    OfficialMask,
    OfficialSession,
    describe,
    in_grey,
)
from medprism.evaluation.bench.official.weights import find_folds, hash_files, read_described
from medprism.evaluation.cases import Target
from medprism.evaluation.protocols import class_name

# Labels that are no structures.
_NOT_NAMES: Final = ("background", "ignore")
_PICTURES: Final = "NaturalImage2DIO"
# These follow the intensities of each image; others keep those of the training set.
_OWN_SCALE: Final = ("ZScoreNormalization", "RescaleTo01Normalization")

LabelIds = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class NnUNetWeights:
    """A trained folder: concepts with their label numbers, channels, and how pixels are measured.

    `is_picture`: it learned from pictures, whose pixels have no size in mm. `extent` is the range
    of intensities, channel by channel, that it learned from, where its plans say so.
    """

    folder: Path
    digest: str
    settings: Mapping[str, Any]
    concepts: ConceptTable
    ids: LabelIds
    channels: int
    is_picture: bool
    extent: tuple[tuple[float, float] | None, ...]

    @classmethod
    def read(cls, order: OfficialOrder, known: ConceptTable) -> NnUNetWeights:
        """Read what a trained folder says about itself; `known` gives names their concepts.

        Raises:
            CheckpointError: it is no such folder.
        """
        folder = order.weights
        dataset, plans = (
            read_described(folder, "dataset.json"),
            read_described(folder, "plans.json"),
        )
        folds = find_folds(folder, order.folds, order.checkpoint)
        described = [folder / "dataset.json", folder / "plans.json"]
        trained = [folder / f"fold_{fold}" / order.checkpoint for fold in folds]
        named = _labels(dataset.get("labels"), folder)
        concepts, ids = name_concepts(named, known)
        channels = dataset.get("channel_names")
        if not isinstance(channels, dict) or len(channels) not in (1, 3):
            raise CheckpointError(
                f"{folder} was trained on channels {channels!r}; slices of a store have 1 (grey) "
                "or 3 (red, green, blue)"
            )
        return cls(
            folder=folder,
            digest=hash_files(folder, [*described, *trained]),
            settings={"folds": list(folds), "checkpoint": order.checkpoint},
            concepts=concepts,
            ids=ids,
            channels=len(channels),
            is_picture=plans.get("image_reader_writer") == _PICTURES,
            extent=_extent(plans, len(channels)),
        )

    def knows(self, target: Target) -> bool:
        """Whether a label has the target's name, or another name of the same concept."""
        return class_name(self.concepts, target.concept) is not None

    def session(self, runner: Asks, said: Mapping[str, Any]) -> NnUNetSession:
        """Return a session; `said` names the normalisation of each channel.

        Raises:
            RunnerError: it learned from intensities that 8 bits do not hold, and keeps their scale.
        """
        for scheme, extent in zip(said["normalization"], self.extent, strict=False):
            is_beyond = extent is not None and (extent[0] < 0 or extent[1] > 255)
            if scheme not in _OWN_SCALE and is_beyond:
                raise RunnerError(
                    f"the weights learned from intensities {extent} and keep their scale "
                    f"({scheme}), but a store holds 8 bits; train nnU-Net on 8-bit slices",
                    WEIGHTS_REFUSED,
                )
        return NnUNetSession(runner, self)


class NnUNetSession(OfficialSession):
    """Labels of a whole slice, asked for once."""

    def __init__(self, runner: Asks, weights: NnUNetWeights) -> None:
        super().__init__(runner, weights.concepts)
        self._weights = weights
        self._image: Image | None = None

    def set_image(self, image: Image) -> None:
        """Open an image."""
        self._image = image

    def predict(
        self, labels: Sequence[str] | None = None, classes: Sequence[str] | None = None
    ) -> dict[str, OfficialMask]:
        """Return the mask of each class, all by one look at the slice.

        Raises:
            RunnerError: the answer is no label map of the image.
        """
        image = self._image
        if image is None or classes is None:
            raise InternalError(f"nnU-Net was asked for {classes} on {image}")
        physical = image.geometry.is_physical and not self._weights.is_picture
        spacing = image.geometry.spacing[1:] if physical else (1.0, 1.0)
        channels = to_channels(image, self._weights.channels)
        _, found = self._runner.ask("segment", channels, spacing=list(spacing))
        if found is None or found.dtype.kind not in "iu" or found.shape != image.shape:
            raise RunnerError(f"{describe(found)} is no label map of {image.shape}", UNREADABLE)
        return {
            name: OfficialMask(np.isin(found, self._weights.ids[self._concept(name)]))
            for name in classes
        }

    def _concept(self, name: str) -> str:
        return self.model.concepts[self.model.concepts.row(name)].name


def to_channels(image: Image, channels: int) -> Float32[np.ndarray, "channels 1 height width"]:
    """Return a picture as nnU-Net reads one: channels first, then a slice of its own.

    Grey is repeated for weights that learned from colours, colours become brightness for others.

    >>> to_channels(Image.from_array(np.zeros((4, 6), np.uint8)), 3).shape
    (3, 1, 4, 6)
    """
    if channels == 1:
        return np.ascontiguousarray(in_grey(image)[None, None])
    planes = np.moveaxis(image.voxels[0].astype(np.float32), -1, 0)
    return np.ascontiguousarray(np.broadcast_to(planes, (channels, *planes.shape[1:]))[:, None])


def name_concepts(labels: LabelIds, known: ConceptTable) -> tuple[ConceptTable, LabelIds]:
    """Return the concepts that label names mean, with the label numbers of each.

    A name is looked up among the known concepts, then in the shared vocabulary; else it stands for
    itself. Names of the same concept are taken together.

    >>> table = ConceptTable((Concept("liver", ("hepar",)),))
    >>> name_concepts({"Hepar": (3,), "my cyst": (1,)}, table)[1]
    {'liver': (3,), 'my cyst': (1,)}
    """
    concepts: dict[str, Concept] = {}
    ids: dict[str, tuple[int, ...]] = {}
    for name, numbers in labels.items():
        concept = _concept(name, known)
        concepts.setdefault(concept.name, concept)
        ids[concept.name] = tuple(dict.fromkeys((*ids.get(concept.name, ()), *numbers)))
    return ConceptTable(tuple(concepts.values())), ids


def _concept(name: str, known: ConceptTable) -> Concept:
    try:
        return replace(known[known.row(name)], label_ids={})
    except LabelError:
        pass
    try:
        return replace(shared_concept(name), label_ids={})
    except LabelError:
        return Concept(name)


def _labels(given: object, folder: Path) -> LabelIds:
    """Return label names with their numbers; a region has several."""
    if not isinstance(given, dict):
        raise CheckpointError(f"{folder / 'dataset.json'} names no labels; it must list them")
    named: dict[str, tuple[int, ...]] = {}
    for name, numbers in given.items():
        listed = numbers if isinstance(numbers, list) else [numbers]
        if not all(isinstance(number, int) for number in listed):
            raise CheckpointError(
                f"{folder / 'dataset.json'}: label {name!r} must be a number or a list of them, "
                f"not {numbers!r}"
            )
        if name not in _NOT_NAMES:
            named[str(name)] = tuple(listed)
    return named


def _extent(plans: Mapping[str, Any], channels: int) -> tuple[tuple[float, float] | None, ...]:
    given = plans.get("foreground_intensity_properties_per_channel")
    by_channel = given if isinstance(given, dict) else {}
    found: list[tuple[float, float] | None] = []
    for channel in range(channels):
        figures = by_channel.get(str(channel), {})
        is_known = "min" in figures and "max" in figures
        found.append((float(figures["min"]), float(figures["max"])) if is_known else None)
    return tuple(found)

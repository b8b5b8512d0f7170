"""K-Prism as ONNX graphs: one to encode, one for references, one for each make-up of a request.

Sizes and numbers of images, requests, references and clicks are dynamic; sizes are multiples of 16
as everywhere. A request without clicks has another graph than one with, since what is absent is
not computed. Cross-attention has the form that is cheaper for the few queries of an example.
"""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from medprism.core.errors import ConfigError
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Clicks, Features, Prompts, ReferenceFeatures

OPSET: Final = 18
# Part of the name of a stored graph; raised when the same weights would give another graph.
GRAPH_VERSION: Final = 1

ENCODE: Final = "encode"
ENCODE_REFERENCES: Final = "encode-references"
MEMBERS: Final = ("class", "reference", "click")
MAPS: Final = ("map2", "map4", "map8", "map16")
REFERENCE_OUTPUTS: Final = ("keys", "values", "summary", "weight")

# What varies along each axis of an input; the numbers of all others are fixed by the model.
_AXES: Final[Mapping[str, Mapping[int, str]]] = {
    "image": {0: "images", 2: "height", 3: "width"},
    "reference_image": {0: "requests", 1: "references", 3: "height", 4: "width"},
    "reference_mask": {0: "requests", 1: "references", 2: "height", 3: "width"},
    "reference_valid": {0: "requests", 1: "references"},
    **{name: {0: "requests", 2: f"{name}_height", 3: f"{name}_width"} for name in MAPS},
    "concept": {0: "requests"},
    "keys": {0: "requests", 1: "positions"},
    "values": {0: "requests", 1: "positions"},
    "valid": {0: "requests", 1: "positions"},
    "summary": {0: "requests"},
    "weight": {0: "requests"},
    "position": {0: "requests", 1: "clicks"},
    "is_positive": {0: "requests", 1: "clicks"},
    "is_click": {0: "requests", 1: "clicks"},
    "dense": {0: "requests", 2: "height", 3: "width"},
}
_MEMBER_INPUTS: Final[Mapping[str, tuple[str, ...]]] = {
    "class": ("concept",),
    "reference": ("keys", "values", "valid", "summary", "weight"),
    "click": ("position", "is_positive", "is_click", "dense"),
}


def decode_name(prompts: Prompts) -> str:
    """Return the name of the graph that answers prompts of this make-up.

    Raises:
        ConfigError: no class, no reference and no click, or clicks without their maps.

    >>> decode_name(Prompts(concept=torch.zeros(1, dtype=torch.int64)))
    'decode-class'
    """
    if (prompts.clicks is None) != (prompts.dense is None):
        raise ConfigError("clicks and their maps of marks belong together; give both or neither")
    given = (prompts.concept, prompts.references, prompts.clicks)
    present = [name for name, one in zip(MEMBERS, given, strict=True) if one is not None]
    if not present:
        raise ConfigError("a request needs a class, a reference or a click; it has none")
    return "-".join(("decode", *present))


def graph_names() -> tuple[str, ...]:
    """Return the names of all graphs of a model.

    >>> graph_names()[:4]
    ('encode', 'encode-references', 'decode-class', 'decode-reference')
    """
    return (
        ENCODE,
        ENCODE_REFERENCES,
        *(
            "-".join(("decode", *members))
            for count in range(1, len(MEMBERS) + 1)
            for members in itertools.combinations(MEMBERS, count)
        ),
    )


def input_names(graph: str) -> tuple[str, ...]:
    """Return the inputs of a graph, in their order.

    >>> input_names("decode-class")
    ('map2', 'map4', 'map8', 'map16', 'concept')
    """
    if graph == ENCODE:
        return ("image",)
    if graph == ENCODE_REFERENCES:
        return "reference_image", "reference_mask", "reference_valid"
    members = graph.split("-")[1:]
    return (*MAPS, *(name for member in members for name in _MEMBER_INPUTS[member]))


def output_names(graph: str) -> tuple[str, ...]:
    """Return the outputs of a graph, in their order."""
    return {ENCODE: MAPS, ENCODE_REFERENCES: REFERENCE_OUTPUTS}.get(graph, ("logits",))


def decode_inputs(features: Features, prompts: Prompts) -> dict[str, Tensor]:
    """Return the named inputs of the graph `decode_name(prompts)`."""
    named = dict(zip(MAPS, features.maps, strict=True))
    if prompts.concept is not None:
        named["concept"] = prompts.concept
    if prompts.references is not None:
        given = prompts.references
        named |= {name: getattr(given, name) for name in _MEMBER_INPUTS["reference"]}
    if prompts.clicks is not None and prompts.dense is not None:
        clicks = prompts.clicks
        values = (clicks.position, clicks.is_positive, clicks.valid, prompts.dense)
        named |= dict(zip(_MEMBER_INPUTS["click"], values, strict=True))
    return named


def export_graph(model: KPrism, graph: str) -> bytes:
    """Return one graph of a model as a serialised ONNX model, weights inside.

    Raises:
        ConfigError: no such graph.
    """
    if graph not in graph_names():
        raise ConfigError(f"no graph {graph!r}; there are {', '.join(graph_names())}")
    module: nn.Module
    arguments: tuple[Tensor, ...]
    example = _Example.draw(model)
    if graph == ENCODE:
        module, arguments = _Encode(model), (example.image,)
    elif graph == ENCODE_REFERENCES:
        module = _EncodeReferences(model)
        arguments = (example.image[:, None], example.mask[:, None], example.yes)
    else:
        prompts = example.prompts(model, graph.split("-")[1:])
        named = decode_inputs(model.encode(example.image), prompts)
        module, arguments = _Decode(model, tuple(named)), tuple(named.values())
    return to_onnx(module, arguments, input_names(graph), output_names(graph), _AXES)


@torch.no_grad()
def to_onnx(
    module: nn.Module,
    arguments: tuple[Tensor, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    axes: Mapping[str, Mapping[int, str]],
) -> bytes:
    """Trace a module and return it as a serialised ONNX model; `axes` names what may vary."""
    buffer = io.BytesIO()
    # The tracer warns of every Python number it meets; the tests compare other sizes.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            arguments,
            buffer,  # type: ignore[arg-type]
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(axes[name]) for name in inputs if name in axes},
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


@dataclass(frozen=True, eq=False)
class _Example:
    """Inputs that are traced; neither square nor of one request, so that no size is special."""

    image: Tensor
    mask: Tensor
    yes: Tensor

    @staticmethod
    def draw(model: KPrism) -> _Example:
        rng = torch.Generator().manual_seed(0)
        image = torch.randn((2, 3, 48, 80), generator=rng)
        return _Example(image, (image[:, 0] > 0).float(), torch.ones(2, 1, dtype=torch.bool))

    def prompts(self, model: KPrism, members: list[str]) -> Prompts:
        concept = torch.zeros(2, dtype=torch.int64)
        references = None
        with torch.no_grad():
            if "reference" in members:
                references = model.encode_references(
                    self.image[:, None], self.mask[:, None], self.yes
                )
        position = torch.tensor([[[5.0, 7.0], [20.0, 61.0], [40.0, 3.0]]]).repeat(2, 1, 1)
        sign = torch.tensor([[True, False, True]]).repeat(2, 1)
        clicked = "click" in members
        return Prompts(
            concept=concept if "class" in members else None,
            references=references,
            clicks=Clicks(position, sign, torch.ones_like(sign)) if clicked else None,
            dense=self.image.sigmoid() if clicked else None,
        )


class _Encode(nn.Module):
    def __init__(self, model: KPrism) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.model.encode(image).maps


class _EncodeReferences(nn.Module):
    def __init__(self, model: KPrism) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, mask: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        encoded = self.model.encode_references(image, mask, valid)
        return tuple(getattr(encoded, name) for name in REFERENCE_OUTPUTS)


class _Decode(nn.Module):
    def __init__(self, model: KPrism, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *arguments: Tensor) -> Tensor:
        given: dict[str, Any] = dict(zip(self.names, arguments, strict=True))
        features = Features(tuple(given[name] for name in MAPS))
        references = None
        if "keys" in given:
            references = ReferenceFeatures(*(given[n] for n in _MEMBER_INPUTS["reference"]))
        clicks = None
        if "position" in given:
            clicks = Clicks(given["position"], given["is_positive"], given["is_click"])
        prompts = Prompts(given.get("concept"), references, clicks, given.get("dense"))
        return self.model.decode(features, prompts).logits

"""Whatever decodes windows is asked for the right classes, on the grid of the query."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks.iris_volumes.cases import Cases, cases_of, open_sets, table_of_sets
from benchmarks.iris_volumes.class_tokens import by_class
from benchmarks.iris_volumes.ground import read_ground
from benchmarks.iris_volumes.scores import measure
from benchmarks.iris_volumes.task_unet import by_windows
from torch import Tensor, nn

from medprism.core.concepts import ConceptTable
from medprism.models.iris.config import IrisConfig, iris_nano
from medprism.models.iris.embedding import TaskEmbeddings
from medprism.models.segmenter import Features
from medprism.models.zoo.class_token import ClassTokens
from medprism.training.iris.config import iris_recipe
from tests.benchmarks.iris_volumes.phantoms import CLASSES

SIGN = {"bright hook": 1.0, "dark bar": -1.0}


class Brightness(nn.Module):
    """Finds what is bright or dark, as the first number of a class' token says."""

    config: IrisConfig = iris_nano(2)

    def encode(self, image: Tensor) -> Features:
        return Features((image,))

    def decode(self, features: Features, tasks: TaskEmbeddings) -> Tensor:
        return features.maps[0] * tasks.tokens[:, :, :1, :1, None] - 1.2


@pytest.fixture(scope="module")
def cases(data: Path) -> tuple[Cases, ConceptTable]:
    sets = open_sets([data])
    concepts = table_of_sets(sets)
    return cases_of(sets, concepts)[0], concepts


def test_windows_are_put_together_and_taken_back_to_the_query(
    cases: tuple[Cases, ConceptTable],
) -> None:
    one, _ = cases
    tokens = torch.tensor([SIGN[name] for name in one.classes])[None, :, None, None]
    tasks = TaskEmbeddings(tokens, torch.ones(1, 2, dtype=torch.bool))
    found = measure(one, by_windows(one.classes, Brightness(), tasks, 1.25, 32))
    assert set(found) == CLASSES
    assert all(value > 0.7 for values in found.values() for value in values.values())
    turned = TaskEmbeddings(-tokens, tasks.present)
    wrong = measure(one, by_windows(one.classes, Brightness(), turned, 1.25, 32))
    assert all(value < 0.1 for values in wrong.values() for value in values.values())


def test_classes_are_looked_up_by_their_rows_whatever_their_order(
    cases: tuple[Cases, ConceptTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, concepts = cases
    turned = Cases(one.dataset, dict(reversed(one.label_ids.items())))
    assert turned.classes == one.classes[::-1]
    ground = read_ground([one], concepts, iris_recipe("iris-nano", 1))
    model = ClassTokens(iris_nano(2)).eval()
    with torch.no_grad():
        for name, sign in SIGN.items():
            model.tokens[concepts.row(name)] = sign
    monkeypatch.setattr(ClassTokens, "encode", Brightness.encode)
    monkeypatch.setattr(ClassTokens, "decode", Brightness.decode)
    for asked in (one, turned):
        found = measure(asked, by_class(asked, model, ground))
        assert set(found) == CLASSES
        assert all(value > 0.7 for values in found.values() for value in values.values())

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.iris_volumes.embeddings import (
    NEIGHBOURS,
    Labelled,
    alike,
    main,
    nearest_same,
    project,
)
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.iris_volumes import embeddings
from medprism.data.vocabulary import training_concepts
from tests.benchmarks.iris_volumes.phantoms import invoke, must_not_run


def _unit(rows: int, features: int = 7) -> np.ndarray:
    drawn = np.random.default_rng(5).normal(size=(rows, features)) + np.arange(features)
    unit: np.ndarray = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def test_the_projection_is_that_of_scikit_learn() -> None:
    vectors = _unit(12)
    placed, shares = project(vectors)
    reference = PCA(2).fit(vectors)
    expected = reference.transform(vectors)
    np.testing.assert_allclose(np.abs(placed), np.abs(expected), atol=1e-10)
    np.testing.assert_allclose(shares, reference.explained_variance_ratio_)
    assert all(placed[np.abs(placed[:, axis]).argmax(), axis] > 0 for axis in (0, 1))


def test_the_nearest_embedding_is_that_of_scikit_learn() -> None:
    vectors, names = _unit(20), [str(number % 3) for number in range(20)]
    found, _ = nearest_same(vectors, names)
    right = 0
    for index in range(20):
        rest = [other for other in range(20) if other != index]
        model = KNeighborsClassifier(1, metric="cosine", algorithm="brute")
        model.fit(vectors[rest], [names[other] for other in rest])
        right += model.predict(vectors[[index]])[0] == names[index]
    assert found == right / 20


def test_pairs_of_one_reference_are_not_compared_and_partners_are_neighbours() -> None:
    up, right = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    found = Labelled(
        datasets=("heart", "heart", "heart", "heart", "brain"),
        cases=("a", "a", "b", "b", "c"),
        concepts=("left ventricle", "right ventricle", "left ventricle", "liver", "liver"),
        vectors=np.stack([up, right, up, right, up]),
    )
    kinds = alike(found)
    assert kinds["the same structure"] == {"cosine": 0.5, "pairs": 2}
    assert kinds["left ventricle and right ventricle"] == {"cosine": 0.0, "pairs": 1}
    assert kinds["neighbours"] == {"cosine": 0.0, "pairs": 1}
    assert kinds["other structures of the same set"] == {"cosine": 0.5, "pairs": 2}
    assert kinds["structures of two sets"]["pairs"] == 3


def test_all_neighbours_are_concepts() -> None:
    table = training_concepts()
    for pair in NEIGHBOURS:
        assert [table[table.row(name)].name for name in pair] == list(pair)


def test_every_reference_is_a_point_and_the_picture_comes_from_the_figures(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["--data", data, "--model", model, "--out", tmp_path]
    status, printed = invoke(main, *asked)
    assert status == 0, printed
    value = json.loads((tmp_path / "embeddings.json").read_text())["rows"]["embeddings"]["value"]
    whose = {(one["case"], one["concept"]) for one in value["points"]}
    assert len(whose) == len(value["points"]) == 4
    assert "4 embeddings." in (tmp_path / "embeddings.md").read_text()
    (tmp_path / "embeddings.png").unlink()
    monkeypatch.setattr(embeddings, "embed_sets", must_not_run)
    assert invoke(main, *asked)[0] == 0
    assert (tmp_path / "embeddings.png").read_bytes().startswith(b"\x89PNG")

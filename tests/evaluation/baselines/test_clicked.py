from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medprism.core.image import Image
from medprism.data.store import SliceStore
from medprism.evaluation.baselines.clicked import CLICK_METHODS, ClickedBaseline, eight_bit
from medprism.evaluation.benchmark import Plan, run
from medprism.evaluation.cases import StoreReader
from medprism.evaluation.examiners import Examiner, SessionExaminer
from tests.evaluation.phantoms import concept_table, scene_model


@pytest.mark.parametrize("name", CLICK_METHODS)
def test_baselines_answer_the_same_questions_as_the_model(
    name: str, scenes: SliceStore, tmp_path: Path
) -> None:
    reader, concepts, plan = StoreReader(scenes), concept_table("scenes"), Plan(roles=("train",))
    baseline = ClickedBaseline(name, scenes, reader, clicks=3)
    assert isinstance(baseline, Examiner)
    (cell,) = run(baseline, scenes, concepts, plan, tmp_path)
    model = SessionExaminer(scene_model("scenes"), scenes, reader, protocols=("interactive",))
    (ours,) = run(model, scenes, concepts, plan, tmp_path)
    assert [row.key for row in cell.rows] == [row.key for row in ours.rows]
    assert {row.method for row in cell.rows} == {name}
    assert {row.protocol for row in cell.rows} == {"interactive"}
    assert all(1 <= len(row.values) <= 3 for row in cell.rows)
    assert np.mean([row.values[-1] for row in cell.rows]) > 0.7


def test_pictures_become_bytes_by_the_one_rule() -> None:
    bytes_in = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(eight_bit(Image.from_array(bytes_in))[..., 0], bytes_in)
    wide = Image.from_array(np.linspace(0, 4000, 12).astype(np.uint16).reshape(3, 4))
    stretched = eight_bit(wide)
    assert (stretched.min(), stretched.max()) == (0, 255)

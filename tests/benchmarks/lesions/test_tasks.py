from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.lesions.tasks import LESIONS, NEIGHBOURS, PAIRS, TASKS, choose, count_rows, names

from medprism.apps.cli.listing import split_list
from medprism.core.errors import LabelError
from medprism.data.store import SliceStore
from medprism.data.vocabulary import training_concepts

from .phantoms import GREY


def test_at_least_eight_lesions_of_different_modalities_that_training_sets_label() -> None:
    known = training_concepts()
    assert len(LESIONS) >= 8
    assert len({task.modality for task in LESIONS}) >= 7
    assert set(names()) <= set(known.names)
    assert all(known[known.row(task.name)].label_ids for task in TASKS)
    assert len(set(names())) == len(TASKS) == len(LESIONS) + len(NEIGHBOURS)
    assert split_list(",".join(names()), "--tasks") == names()


def test_both_tasks_of_a_pair_are_labelled_by_its_sets() -> None:
    known = training_concepts()
    for pair in PAIRS:
        assert set(pair.tasks) <= set(names())
        for task in pair.tasks:
            assert any(name in known[known.row(task)].label_ids for name in pair.datasets)


def test_images_and_patients_are_counted_by_split(store: Path) -> None:
    by_name = {task.name: task for task in TASKS}
    opened = SliceStore.open(store)
    header, lesion, organ = count_rows(opened, (by_name["polyp"], by_name["liver"]))
    splits = header.index("train (patients)"), header.index("val (patients)")
    assert [lesion[place] for place in splits] == ["2 (1)", "2 (1)"]
    assert lesion[header.index("test (patients)")] == "4 (2)"
    # The organ is on every other slice.
    assert organ[header.index("test (patients)")] == "2 (2)"
    assert lesion[-1] == organ[-1] == GREY
    with pytest.raises(LabelError, match="unknown class 'polyps'.*polyp"):
        choose(opened, ("polyps",))

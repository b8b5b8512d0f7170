from __future__ import annotations

import pytest

from medprism.data.case import DatasetInfo
from medprism.data.licence import KINDS, licence_kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("yes", "yes"),
        ("Yes (CC BY-SA 4.0, attribution + share-alike)", "yes"),
        ("yes (non-commercial, with those two credits)", "non-commercial"),
        ("unclear (NC-SA: share-alike non-commercial)", "non-commercial"),
        ("unclear", "unclear"),
        ("no", "no"),
        ("not that we know", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_sets_own_words_give_its_kind(words: str | None, kind: str) -> None:
    info = DatasetInfo("a", "a", "train", None, {}, redistributable=words)
    assert licence_kind(info) == kind
    assert kind in KINDS

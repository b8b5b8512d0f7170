from __future__ import annotations

import re
from dataclasses import replace

import pytest

from medprism.core.errors import ConfigError
from medprism.data.datasets.adapters import PUBLISHED
from medprism.data.datasets.published import Counts, PublishedSet
from medprism.data.vocabulary import shared_concept

# Classes of the paper that are not what the release labels one by one.
UNITED = {"btd", "amd_sd", "brats2021", "covid_ct", "segthor", "amos_ct"}


@pytest.mark.parametrize("published", PUBLISHED.values(), ids=lambda one: one.name)
def test_every_set_says_where_it_comes_from(published: PublishedSet) -> None:
    assert PUBLISHED[published.name] is published
    assert re.fullmatch(r"https?://\S+", published.home_page)
    assert re.fullmatch(r"https?://\S+/\S+|http://medicaldecathlon.com", published.layout_source)
    assert published.layout
    assert published.citation
    assert (published.licence is None) == (published.redistributable is None)
    assert all(use.rule for use in published.uses)


@pytest.mark.parametrize("published", PUBLISHED.values(), ids=lambda one: one.name)
def test_every_concept_is_one_of_the_shared_vocabulary(published: PublishedSet) -> None:
    for name in published.concepts:
        assert shared_concept(name).name == name
    used = {number for ids in published.concepts.values() for number in ids}
    assert used == set(published.classes)
    if published.name not in UNITED:
        for use in published.uses:
            labelled = {len(published.classes), len(published.labels)}
            assert use.classes in labelled, use.paper


def test_the_counts_are_those_of_table_6() -> None:
    """Total of the paper's slices (or pictures) per split, added up from Table 6."""
    uses = {name: one.uses[0] for name, one in PUBLISHED.items() if one.uses[0].paper == "K-Prism"}
    assert len(uses) == 18
    shown = {n: u.slices if PUBLISHED[n].unit == "volumes" else u.cases for n, u in uses.items()}
    assert sum(c.train or 0 for c in shown.values()) == 69109
    assert sum(c.val or 0 for c in shown.values()) == 4793
    assert sum(c.test or 0 for c in shown.values()) == 39122


def test_a_description_that_contradicts_itself_is_refused() -> None:
    kits = PUBLISHED["kits19"]
    with pytest.raises(ConfigError, match=r"concepts name labels \[7\]"):
        replace(kits, concepts={"kidney": (1, 7)})
    with pytest.raises(ConfigError, match="'bright' is none of"):
        replace(kits, intensity="bright")
    with pytest.raises(ConfigError, match="must say for each of the parts train"):
        replace(kits, uses=(replace(kits.uses[0], split={"test": "test"}),))
    with pytest.raises(ConfigError, match="where it goes"):
        replace(kits, uses=(replace(kits.uses[0], split={"train": "exam"}),))


def test_counts_are_shown_with_a_dash_where_unknown() -> None:
    assert str(Counts(train=1234, test=5)) == "1,234 / - / 5"

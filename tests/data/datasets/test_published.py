from __future__ import annotations

import re
from dataclasses import replace

import pytest

from medprism.core.errors import ConfigError
from medprism.core.preprocess import RULES
from medprism.data.datasets.adapters import PUBLISHED
from medprism.data.datasets.published import Counts, PublishedSet
from medprism.data.licence import licence_kind
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
    assert re.fullmatch(r"https?://\S+", published.licence_source or "")
    assert all(use.rule and use.split for use in published.uses)
    assert published.labels and published.concepts and published.intensity in RULES
    assert any(use.total or {use.cases, use.slices} != {Counts()} for use in published.uses)


@pytest.mark.parametrize("published", PUBLISHED.values(), ids=lambda one: one.name)
def test_the_kind_of_a_licence_agrees_with_its_words(published: PublishedSet) -> None:
    kind = licence_kind(published.info)
    words = published.licence or ""
    assert (kind == "unknown") == (published.licence is None)
    if "-NC" in words:
        assert kind == "non-commercial"
    elif re.match(r"CC0|CC BY|GPL", words):
        assert kind == "yes"
    if "no licence found" in words:
        assert kind == "unclear"


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


# As printed: classes, volumes of train, val and test, slices (or pictures) of the same.
TABLE_6: dict[str, tuple[int | None, ...]] = {
    "amos_ct": (13, 190, 10, 100, 33944, 1689, 17861),
    "amos_mri": (13, 38, 2, 20, 5160, 263, 2614),
    "mnms": (3, 300, None, 340, 2475, None, 2821),
    "lits": (1, 104, None, 27, 5687, None, 1625),
    "kits19": (1, 168, None, 42, 5269, None, 1609),
    "lascarqs": (1, 98, None, 32, 3561, None, 1183),
    "chest_xray_masks": (1, None, None, None, 450, None, 116),
    "busi": (1, None, None, None, 518, None, 129),
    "kpis": (1, None, None, None, 8261, 500, 4055),
    "papila": (1, None, None, None, 390, None, 98),
    "bkai_igh": (2, None, None, None, 800, None, 200),
    "isic2018": (1, None, None, None, 2594, 100, 1000),
    "btcv": (13, None, None, 30, None, None, 3791),
    "acdc": (3, None, 200, 100, None, 1841, 1001),
    "uwaterloo_skin": (1, None, None, None, None, None, 167),
    "bus_b": (1, None, None, None, None, None, 163),
    "brats2021": (1, None, None, None, None, None, 369),
    "mnms2": (3, None, 400, 320, None, 400, 320),
}


def _three(counts: Counts) -> tuple[int | None, ...]:
    return counts.train, counts.val, counts.test


def test_the_counts_are_those_of_table_6() -> None:
    uses = {name: one.uses[0] for name, one in PUBLISHED.items() if one.uses[0].paper == "K-Prism"}
    assert set(uses) == set(TABLE_6)
    for name, use in uses.items():
        # Of sets of pictures the paper's slices are our cases.
        of_pictures = PUBLISHED[name].unit == "images"
        volumes = Counts() if of_pictures else use.cases
        slices = use.cases if of_pictures else use.slices
        assert (use.classes, *_three(volumes), *_three(slices)) == TABLE_6[name], name


TP_SEG: dict[str, tuple[int, int]] = {
    "amd_sd": (2346, 703),
    "btd": (2298, 766),
    "ebhi_seg": (636, 159),
    "tnui2021": (966, 276),
    "polyp_mix": (1450, 798),
    "covid_ct": (894, 385),
    "busi": (486, 161),
    "isic2018": (1886, 808),
}


def test_the_eight_lesion_sets_of_tp_seg_have_its_counts() -> None:
    uses = {
        name: use for name, one in PUBLISHED.items() for use in one.uses if use.paper == "TP-Seg"
    }
    found = {
        name: _three(use.slices if use.cases == Counts() else use.cases)[:2]
        for name, use in uses.items()
    }
    assert found == TP_SEG


def test_the_further_sets_of_iris_are_there() -> None:
    further = {"autopet", "dlbs", "chaos_mr", "structseg_han", "structseg_thorax", "segthor"}
    further |= {"msd_pancreas", "ctpelvic1k"}
    further |= {f"ivdm3seg_{sequence}" for sequence in ("wat", "inn", "opp", "fat")}
    own = {name for name, one in PUBLISHED.items() if one.uses[0].paper == "Iris"}
    assert own == further
    assert set(PUBLISHED) == {*TABLE_6, *TP_SEG, *further}


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

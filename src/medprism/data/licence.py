"""Licences of datasets as kinds, so that a run can leave some out."""

from __future__ import annotations

import re
from typing import Final

from medprism.data.case import DatasetInfo

KINDS: Final = ("yes", "non-commercial", "unclear", "no", "unknown")


def licence_kind(info: DatasetInfo) -> str:
    """Return what a set's own words say about handing its images on.

    "yes", "no" or "unclear" by the first word, but "non-commercial" where the words mention that;
    "unknown" where there are none.

    >>> licence_kind(DatasetInfo("a", "a", "train", None, {}, redistributable="yes (CC BY)"))
    'yes'
    >>> licence_kind(DatasetInfo("a", "a", "train", None, {}, redistributable="unclear (NC-SA)"))
    'non-commercial'
    """
    words = (info.redistributable or "").casefold()
    if re.search(r"\bnon-commercial\b|\bnc\b", words):
        return "non-commercial"
    first = re.match(r"[a-z]+", words)
    return first[0] if first and first[0] in KINDS else "unknown"

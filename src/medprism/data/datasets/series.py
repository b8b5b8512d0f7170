"""Where a slice lies in its volume, read from the name of the case.

2-D sets cut from volumes keep the slice number in the case name but not the depth of the volume.
The position is therefore relative to the slices at hand: 0 for the lowest number, 1 for the
highest, over the slices of one volume or, where all volumes of a set are cut alike, over the set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

MIN_SLICES: Final = 3


@dataclass(frozen=True)
class SeriesRule:
    """How the case names of a set spell volume, view and slice number."""

    pattern: str
    scope: Literal["volume", "set"] = "volume"


@dataclass(frozen=True)
class SlicePosition:
    """The place of one slice; members are None where the names do not tell."""

    slice_index: int | None = None
    relative_position: float | None = None
    view: str | None = None


DEFAULT_RULE: Final = SeriesRule(r"(?P<volume>.+)_z(?P<slice>\d+)")
_NUMBERED: Final = r"(?P<volume>\d+)_(?P<slice>\d+)"

RULES: Final[Mapping[str, SeriesRule]] = {
    # Both frames of an ACDC patient lie on the same slices.
    "acdc_cardiac_mri": SeriesRule(r"(?P<volume>patient\d+)_frame\d+_z(?P<slice>\d+)"),
    "miccai2012_oasis_brain_mri": SeriesRule(
        r"(?P<volume>c\d+(?P<view>ax|co|sa))_z(?P<slice>\d+)", "set"
    ),
    "msd_hippocampus_mri": SeriesRule(DEFAULT_RULE.pattern, "set"),
    "mt_brats2023_mri": SeriesRule(_NUMBERED, "set"),
    "mt_curvas_abdomen_ct": SeriesRule(_NUMBERED),
    "mt_imagechd_heart_ct": SeriesRule(_NUMBERED),
    "mt_ircad_liver_ct": SeriesRule(_NUMBERED),
    "mt_kidney_t2_mri": SeriesRule(_NUMBERED, "set"),
    "mt_kits19_kidney_ct": SeriesRule(_NUMBERED),
    "mt_mandible_ct": SeriesRule(r"(?P<volume>\d+_\d+)_(?P<slice>\d+)"),
    "mt_ms_flair_mri": SeriesRule(r"(?P<volume>\d{3})(?P<slice>\d{3})", "set"),
    "mt_msd_left_atrium_mri": SeriesRule(r"(?P<volume>la_\d+)_1(?P<slice>\d+)"),
    "mt_msd_lung_tumour_ct": SeriesRule(_NUMBERED),
    "mt_panther_pancreas_mri": SeriesRule(_NUMBERED),
    "mt_pardoe_hippo_mri": SeriesRule(_NUMBERED, "set"),
    "mt_prostate158_mri": SeriesRule(_NUMBERED, "set"),
    "mt_spider_lumbar_mri": SeriesRule(_NUMBERED, "set"),
    "mt_uwm_gi_mri": SeriesRule(r"(?P<volume>case\d+_day\d+)_slice_(?P<slice>\d+)", "set"),
}


def locate_slices(dataset: str, case_ids: Iterable[str]) -> dict[str, SlicePosition]:
    """Return the position of every case of a set in its volume.

    A volume with fewer than three different slices at hand gets no relative position.

    >>> found = locate_slices("any", ["a_z002", "a_z004", "a_z010", "plain"])
    >>> [found[name].relative_position for name in ("a_z002", "a_z004", "plain")]
    [0.0, 0.25, None]
    """
    rule = RULES.get(dataset, DEFAULT_RULE)
    compiled = re.compile(rule.pattern)
    matches = {case_id: compiled.fullmatch(case_id) for case_id in case_ids}
    groups: dict[str, list[int]] = {}
    for match in matches.values():
        if match:
            groups.setdefault(_group(match, rule), []).append(int(match["slice"]))
    return {
        case_id: _locate(match, groups[_group(match, rule)]) if match else SlicePosition()
        for case_id, match in matches.items()
    }


def _group(match: re.Match[str], rule: SeriesRule) -> str:
    if rule.scope == "volume":
        return match["volume"]
    return match.groupdict().get("view") or ""


def _locate(match: re.Match[str], numbers: list[int]) -> SlicePosition:
    number, view = int(match["slice"]), match.groupdict().get("view")
    low, high = min(numbers), max(numbers)
    if len(set(numbers)) < MIN_SLICES:
        return SlicePosition(number, None, view)
    return SlicePosition(number, (number - low) / (high - low), view)

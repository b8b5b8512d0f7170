"""The brain: tissues whose true masks are known, by clicks, by example, by class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from medprism.apps.demo.desk import Desk, milliseconds_of
from medprism.apps.demo.row import Knowledge, Row
from medprism.apps.demo.samples import Brain, Truth
from medprism.inference.outputs import draw_overlay
from medprism.metrics.dice import dice
from medprism.prompts.clicks import next_click

# A person stops when the mask is good enough.
CLICKS: Final = 5
ENOUGH: Final = 0.9
TISSUE: Final = "white matter"
# Classes that a checkpoint may know -> the tissue that is their truth.
CLASSES: Final = {"cerebral white matter": "white matter", "cortical grey matter": "grey matter"}


def segment_brain(desk: Desk, brain: Brain) -> None:
    """Click on one slice, use it as reference for the others, then ask by class; refine each."""
    truth = brain.truth[TISSUE]
    everywhere = range(len(truth))
    middle = len(truth) // 2
    session = desk.session
    session.set_image(brain.path)
    _by_clicks(desk, truth, middle)
    session.commit(TISSUE)
    # Opened anew, the volume has nothing on it but the example.
    session.set_image(brain.path)
    spent = milliseconds_of(partial(session.predict, labels=[TISSUE])) / len(truth)
    _first_and_refined(
        desk, TISSUE, "reference", truth, [index for index in everywhere if index != middle], spent
    )
    for name, tissue in CLASSES.items():
        if desk.knows(name):
            session.set_image(brain.path)
            spent = milliseconds_of(partial(session.predict, classes=[name])) / len(truth)
            _first_and_refined(desk, name, "class", brain.truth[tissue], everywhere, spent)


def _by_clicks(desk: Desk, truth: Truth, index: int) -> None:
    mask, spent = np.zeros_like(truth[index]), []
    for _ in range(CLICKS):
        click = next_click(mask, truth[index])
        if click is None or dice(mask, truth[index]) >= ENOUGH:
            break
        position = (index, click.row, click.col)
        spent.append(desk.click(position, click.is_positive, TISSUE))
        mask = desk.session.mask(TISSUE, slice_index=index)
    desk.panels["clicks"] = draw_overlay(desk.session, index)
    desk.rows.append(
        Row(
            what=f"brain MRI, {TISSUE}, slice {index}",
            knowledge="clicks",
            clicks=len(spent),
            milliseconds=float(np.mean(spent)),
            dice=dice(mask, truth[index]),
            file=desk.save("brain-by-clicks", TISSUE, index),
        )
    )


def _first_and_refined(
    desk: Desk, label: str, knowledge: Knowledge, truth: Truth, counted: Sequence[int], spent: float
) -> None:
    """Add the row of a first answer, and that of a click on its worst slice."""
    found = desk.session.mask(label)
    per_slice = {index: dice(found[index], truth[index]) for index in counted}
    worst = min(per_slice, key=lambda index: per_slice[index])
    name = f"brain-{label.replace(' ', '-')}-by-{knowledge}"
    desk.panels.setdefault(knowledge, draw_overlay(desk.session, counted[len(counted) // 3]))
    desk.rows.append(
        Row(
            what=f"brain MRI, {label}, {len(counted)} slices",
            knowledge=knowledge,
            clicks=0,
            milliseconds=spent,
            dice=dice(found[list(counted)], truth[list(counted)]),
            file=desk.save(name, label, worst),
        )
    )
    click = next_click(found[worst], truth[worst])
    if click is None:
        return
    spent = desk.click((worst, click.row, click.col), click.is_positive, label)
    desk.rows.append(
        Row(
            what=f"brain MRI, {label}, its worst slice {worst}",
            knowledge=knowledge,
            clicks=1,
            milliseconds=spent,
            before=per_slice[worst],
            dice=dice(desk.session.mask(label, slice_index=worst), truth[worst]),
            file=desk.save(f"{name}-refined", label, worst),
        )
    )

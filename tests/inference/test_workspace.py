from __future__ import annotations

import numpy as np
import pytest

from medprism.core.errors import PromptError, ReferencePairError
from medprism.core.image import Image
from medprism.core.progress import SilentProgress
from medprism.core.prompt import Click
from medprism.inference.action import Commit, Interact, Predict, Target, UseReferences
from medprism.inference.encoder import Encoder
from medprism.inference.encoding_cache import EncodingCache
from medprism.inference.reference_bank import Reference, ReferenceBank
from medprism.inference.workspace import Bench, Workspace
from medprism.inference.zoom import ZoomSettings
from medprism.metrics.dice import dice
from tests.inference.fake_segmenter import CountingSegmenter, fake_model
from tests.inference.phantom import SHAPE, scene

PIXELS, MASKS = scene()


def _workspace(bank: ReferenceBank | None = None) -> tuple[CountingSegmenter, Workspace]:
    segmenter = CountingSegmenter()
    model = fake_model(segmenter)
    bench = Bench(model, Encoder(model, EncodingCache()), ZoomSettings(), "me")
    return segmenter, Workspace(bench, Image.from_array(PIXELS), bank or ReferenceBank())


def _reference(seed: int, name: str = "liver") -> Reference:
    image, masks = scene(seed, shift=3)
    return Reference.from_pair(Image.from_array(image), masks[name])


def test_an_event_names_the_references_in_use() -> None:
    one, two = _reference(1), _reference(2, "polyp")
    _, workspace = _workspace(ReferenceBank({"organ": (one,)}))
    workspace.do(Predict((Target("organ"), Target("liver", "liver"))))
    workspace.do(UseReferences("small", workspace.keep(two)))
    workspace.do(Interact("small", ((0, Click(18, 92, True)),), True))
    workspace.do(Interact("new", ((0, Click(18, 92, True)),), True))
    assert [event.references for event in workspace.log.events] == [
        (one.digest,),
        (two.digest,),
        (two.digest,),
        (),
    ]


def test_a_work_laid_out_again_goes_on_as_if_nothing_had_happened() -> None:
    segmenter, workspace = _workspace(ReferenceBank({"organ": (_reference(1),)}))
    workspace.do(Predict((Target("organ"), Target("polyp", "polyp"))))
    workspace.do(Commit("polyp", *workspace.keep(workspace.accept("polyp"))))
    model = fake_model(segmenter)
    bench = Bench(model, Encoder(model, EncodingCache()), ZoomSettings(), "me")
    again = Workspace.from_work(bench, workspace.to_work())
    assert again.has_same_origin
    for name in ("organ", "polyp"):
        np.testing.assert_array_equal(again.mask(name), workspace.mask(name))
        np.testing.assert_array_equal(again.probability(name), workspace.probability(name))
    assert again.view.bank.labels == ("organ", "polyp")
    assert dice(again.mask("organ"), MASKS["liver"]) > 0.8


def test_a_failed_action_is_not_logged() -> None:
    _, workspace = _workspace()
    with pytest.raises(PromptError):
        workspace.do(Interact("x", ((0, Click(SHAPE[0], 0, True)),), True))
    assert len(workspace.log) == 0


def test_an_empty_mask_cannot_be_accepted() -> None:
    _, workspace = _workspace()
    workspace.do(Interact("x", ((0, Click(1, 1, True)),), False))
    with pytest.raises(ReferencePairError, match="empty mask"):
        workspace.accept("x")


def test_a_replay_reports_each_label() -> None:
    _, workspace = _workspace()
    workspace.do(Predict((Target("liver", "liver"),)))
    workspace.do(Interact("x", ((0, Click(60, 80, True)),), True))
    report = workspace.replay(SilentProgress())
    assert report.dice == {"liver": 1.0, "x": 1.0}
    assert report.is_identical

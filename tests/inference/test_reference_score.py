from __future__ import annotations

import pytest

from medprism.core.errors import ReferencePairError
from medprism.core.image import Image
from medprism.inference.reference_bank import Reference
from medprism.inference.reference_score import disagreement, leave_one_out
from medprism.inference.session import Session
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import scene, volume


def _references(*labels: str) -> list[Reference]:
    pairs = [scene(number, shift=4 * number) for number in range(len(labels))]
    return [
        Reference.from_pair(Image.from_array(image), masks[name])
        for (image, masks), name in zip(pairs, labels, strict=True)
    ]


def test_a_wrong_reference_scores_low() -> None:
    # The third one shows another structure than all the others.
    references = _references("liver", "liver", "left kidney", "liver")
    scratch = Session(fake_model())
    scores = [leave_one_out(scratch, references[:2], at) for at in range(2)]
    assert min(scores) > 0.85
    scored = [leave_one_out(scratch, references, at, most=8) for at in range(4)]
    assert scored[2] < 0.3
    assert all(0 <= one <= 1 for one in scored)


def test_a_volume_is_judged_on_slices_that_show_the_structure() -> None:
    stack, masks = volume()
    thick = Reference.from_pair(Image.from_array(stack), masks["liver"])
    score = leave_one_out(Session(fake_model()), [thick, *_references("liver", "liver")], 0)
    assert score > 0.85


def test_one_alone_cannot_be_judged() -> None:
    with pytest.raises(ReferencePairError, match="no other one"):
        leave_one_out(Session(fake_model()), _references("liver"), 0)


def test_like_references_agree_and_unlike_ones_do_not() -> None:
    scratch = Session(fake_model())
    image = Image.from_array(scene(9)[0])
    alike = disagreement(scratch, image, 0, _references("liver", "liver"))
    unlike = disagreement(scratch, image, 0, _references("liver", "left kidney"))
    assert alike.shape == unlike.shape == image.shape
    liver = scene(9)[1]["liver"]
    assert float(unlike[liver].mean()) > 0.3 > 0.1 > float(alike[liver].mean())
    assert float(unlike.max()) <= 0.5
    with pytest.raises(ReferencePairError, match="at least two"):
        disagreement(scratch, image, 0, _references("liver"))

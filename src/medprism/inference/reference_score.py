"""What references are worth: each left out and found again, and how far their answers differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from medprism.core.errors import ReferencePairError
from medprism.core.image import Image
from medprism.core.progress import Progress, SilentProgress
from medprism.inference.excerpt import excerpt
from medprism.inference.reference_bank import Reference
from medprism.inference.session import DEFAULT_LABEL, Session
from medprism.metrics.dice import dice

# A volume is judged on this many of its slices that show the structure.
JUDGED_SLICES = 4


def leave_one_out(
    scratch: Session, references: Sequence[Reference], which: int, most: int = 8
) -> float:
    """Return the Dice in 0..1 with which the others find one reference's mask again, in-context.

    Volumes are judged on at most four slices that show the structure. At most `most` others serve,
    those next to it in the order given. `scratch` is a session whose image and references are
    replaced.

    Raises:
        ReferencePairError: there is no other reference.
    """
    left_out = references[which]
    others = [one for one in references if one.image.digest != left_out.image.digest]
    if not others:
        raise ReferencePairError(
            "a reference is judged by the others of its label, and there is no other one; add one"
        )
    start = min(max(0, which - most // 2), max(0, len(others) - most))
    shown = left_out.shown_slices(JUDGED_SLICES)
    image = excerpt(left_out.image, shown)
    truth = np.stack([left_out.planes[index].unpack() for index in shown])
    _ask(scratch, image, others[start : start + most])
    return dice(image.to_stack(scratch.mask()), truth)


def disagreement(
    scratch: Session,
    image: Image,
    slice_index: int,
    references: Sequence[Reference],
    progress: Progress | None = None,
) -> Float32[np.ndarray, "height width"]:
    """Return the standard deviation (0..0.5) of the probabilities that each reference gives alone.

    Raises:
        ReferencePairError: fewer than two references.
        CancelledError: the progress asked to stop.
    """
    if len(references) < 2:
        raise ReferencePairError(
            f"{len(references)} references cannot disagree; choose at least two"
        )
    view = excerpt(image, [slice_index])
    quiet = progress or SilentProgress()
    answers = []
    for done, one in enumerate(references, start=1):
        _ask(scratch, view, [one])
        answers.append(scratch.probability())
        quiet.report(done, len(references), "asking each reference")
    return np.asarray(np.std(np.stack(answers), axis=0, dtype=np.float64), dtype=np.float32)


def _ask(scratch: Session, image: Image, references: Sequence[Reference]) -> None:
    scratch.set_image(image)
    scratch.set_references(
        [one.image for one in references], [one.mask() for one in references], DEFAULT_LABEL
    )
    scratch.predict(labels=[DEFAULT_LABEL])

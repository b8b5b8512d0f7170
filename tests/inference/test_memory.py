from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from medprism.core.errors import ConfigError
from medprism.core.preprocess import fit_to
from medprism.inference.encoding_cache import EncodingCache
from medprism.inference.memory import Memory
from medprism.inference.session import Session
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import SHAPE, volume

SLICES = 24
CLASSES = ["liver", "left kidney", "polyp"]


def _predict(memory: Memory, stack: np.ndarray) -> tuple[Session, int]:
    """Segment all classes of a volume; return the session and the peak of what was allocated."""
    session = Session(fake_model(), auto_zoom=False, memory=memory)
    session.set_image(stack)
    tracemalloc.start()
    try:
        session.predict(classes=CLASSES)
        return session, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_one_pass_over_a_volume_holds_masks_and_never_all_probabilities(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Eight requests at a time, as on canvases of several hundred pixels.
    monkeypatch.setattr("medprism.inference.prediction.CHUNK_PIXELS", 8 * 80 * 96)
    stack, _ = volume(SLICES)
    session, peak = _predict(Memory(EncodingCache(2**20), 2**17, keeps_maps=False), stack)
    usual, usual_peak = _predict(Memory(EncodingCache(2**20), 2**30), stack)
    height, width = fit_to(SHAPE, session.model.long_side).canvas
    floats = len(CLASSES) * SLICES * height * width * 4
    assert usual_peak > floats
    assert peak < usual_peak - 0.7 * floats
    for name in CLASSES:
        np.testing.assert_array_equal(session.mask(name), usual.mask(name))
        assert session.presence(name) == usual.presence(name)
    with pytest.raises(ConfigError, match="was let go"):
        session.probability("liver")

"""How a simulated user begins: usually with a click, at times with another kind of mark."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from medprism.core.prompt import Interaction
from medprism.prompts.clicks import draw_inner_click, next_click


def draw_opening(rng: np.random.Generator, truth: Bool[np.ndarray, "height width"]) -> Interaction:
    """Draw the first mark on a structure that is present."""
    click = next_click(np.zeros_like(truth), truth)
    if click is None or rng.random() < 0.5:
        return draw_inner_click(rng, truth, is_positive=True)
    return click

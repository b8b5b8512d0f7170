"""How a simulated user begins: usually with a click, at times with another kind of mark."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Bool

from medprism.core.prompt import Interaction
from medprism.prompts.boxes import draw_box
from medprism.prompts.clicks import draw_inner_click, next_click
from medprism.prompts.lassos import draw_lasso
from medprism.prompts.scribbles import draw_scribble

# Shares of openings: centred click, click anywhere inside, scribble, box, lasso.
OPENINGS: Final = (0.4, 0.35, 0.08, 0.09, 0.08)
BOX_JITTER: Final = 0.1
LASSO_SLACK: Final = 0.1


def draw_opening(rng: np.random.Generator, truth: Bool[np.ndarray, "height width"]) -> Interaction:
    """Draw the first mark on a structure that is present."""
    kind = int(rng.choice(len(OPENINGS), p=OPENINGS))
    if kind == 0:
        centred = next_click(np.zeros_like(truth), truth)
        return centred or draw_inner_click(rng, truth, is_positive=True)
    if kind == 1:
        return draw_inner_click(rng, truth, is_positive=True)
    if kind == 2:
        return draw_scribble(rng, truth, is_positive=True)
    if kind == 3:
        return draw_box(rng, truth, BOX_JITTER)
    return draw_lasso(rng, truth, LASSO_SLACK)

"""The names that nnInteractive's remote session uses on the wire."""

from __future__ import annotations

from typing import Final

META: Final = "X-Meta"
LEASE: Final = "X-Lease-Token"
OCTETS: Final = "application/octet-stream"

PATHS: Final = frozenset(
    {
        *("/healthz", "/capabilities", "/claim", "/release", "/heartbeat", "/lease_status"),
        *("/set_image", "/set_target_buffer", "/set_do_autozoom", "/reset_interactions", "/undo"),
        *("/predict", "/add_point_interaction", "/add_bbox_interaction"),
        *("/add_scribble_interaction", "/add_lasso_interaction", "/add_initial_seg_interaction"),
    }
)

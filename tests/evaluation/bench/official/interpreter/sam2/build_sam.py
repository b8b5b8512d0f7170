"""SAM 2's builder with the signature of 1.1; a checkpoint is JSON."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace


def build_sam2(
    config_file: str,
    ckpt_path: str | None = None,
    device: str = "cuda",
    mode: str = "eval",
    hydra_overrides_extra: tuple[str, ...] = (),
    apply_postprocessing: bool = True,
) -> SimpleNamespace:
    assert device == "cpu" and mode == "eval" and apply_postprocessing
    if not config_file.startswith("configs/"):
        raise RuntimeError(f"Cannot find primary config '{config_file}'.")
    assert ckpt_path is not None
    return SimpleNamespace(**json.loads(Path(ckpt_path).read_text()))

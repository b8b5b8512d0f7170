"""Graphs of a model on disk, so that a program that starts again need not trace them again."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch

from medprism.core.durable import make_folder, write_bytes
from medprism.core.errors import WriteError
from medprism.engines.graphs import GRAPH_VERSION, export_graph
from medprism.models.kprism.model import KPrism

_log = logging.getLogger(__name__)

CACHE_VARIABLE: Final = "MEDPRISM_CACHE"


def cache_folder() -> Path:
    """Return where what can be made again is kept: graphs, compiled models, chosen engines.

    It is `$MEDPRISM_CACHE`, else `medprism` in `$XDG_CACHE_HOME` or in `~/.cache`. It may be
    removed at any time.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "medprism"


class GraphStore:
    """The graphs of one model: read from the cache, or traced and put there."""

    def __init__(
        self,
        model: KPrism,
        weights_hash: str,
        trace: Callable[[KPrism, str], bytes] = export_graph,
    ) -> None:
        self._model = model
        self._trace = trace
        versions = f"{version('medprism')}-{torch.__version__}-{GRAPH_VERSION}"
        self.folder = cache_folder() / "graphs" / f"{weights_hash[:32]}-{versions}"

    def read(self, graph: str) -> bytes:
        """Return a graph as a serialised ONNX model.

        Where the cache cannot be written, the graph is made anew every time.
        """
        path = self.folder / f"{graph}.onnx"
        if path.is_file():
            return path.read_bytes()
        content = self._trace(self._model, graph)
        try:
            make_folder(self.folder)
            write_bytes(path, content)
        except WriteError as error:
            _log.warning("graphs are traced at every start: %s", error)
        return content

from __future__ import annotations

import pytest
import torch

from medprism.core.errors import ConfigError
from medprism.engines.threads import use_threads


def test_threads_are_set_left_alone_or_refused_by_the_name_they_were_given_by() -> None:
    before = torch.get_num_threads()
    try:
        use_threads(2)
        use_threads(None)
        assert torch.get_num_threads() == 2
        with pytest.raises(ConfigError, match="--threads must be at least 1, got 0"):
            use_threads(0, "--threads")
    finally:
        torch.set_num_threads(before)

from __future__ import annotations

import pytest

from medprism.core.errors import ImageReadError
from medprism.io.part import choose_volume


def test_the_only_volume_needs_no_name() -> None:
    assert choose_volume(None, 1) == choose_volume("0", 1) == 0
    assert [choose_volume(str(n), 3) for n in range(3)] == [0, 1, 2]


def test_several_volumes_need_one() -> None:
    with pytest.raises(ImageReadError, match='holds 30 volumes .* part="0" to part="29"'):
        choose_volume(None, 30)


@pytest.mark.parametrize("part", ["30", "-1", "first", "", "1.0", "٣"])
def test_a_part_must_exist(part: str) -> None:
    if part == "٣":
        assert choose_volume(part, 30) == 3
        return
    with pytest.raises(ImageReadError, match="has no part"):
        choose_volume(part, 30)

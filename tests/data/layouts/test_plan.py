from pathlib import Path

import pytest

from medprism.data.layouts.catalog import LAYOUTS
from tests.data.layouts.trees import open_layout, write_nnunet, write_plain_pictures


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_no_two_cases_share_a_file_and_none_leaves_the_folder(tmp_path: Path, layout: str) -> None:
    write_nnunet(tmp_path / "nn")
    write_plain_pictures(tmp_path / "pictures")
    for name in ("nn", "pictures"):
        plan = LAYOUTS[layout].plan(open_layout(tmp_path / name))
        files = [target.path for item in plan.items for target in item.images]
        files += [item.mask for item in plan.items if item.mask is not None]
        assert len(set(files)) == len(files)
        assert all(not Path(file).is_absolute() and ".." not in Path(file).parts for file in files)
        assert set(plan.classes.values()) == {"liver", "kidney, left"}

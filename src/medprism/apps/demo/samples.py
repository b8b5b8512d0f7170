"""Real medical images that come with installed packages, so that nothing is downloaded.

scikit-image ships a retina photograph (CC0) and a stained colon section; pydicom small CT and MR
files; nilearn the MNI ICBM152 brain template with maps of its tissues.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from jaxtyping import Bool

from medprism.core.durable import write_durably
from medprism.core.errors import ConfigError

# Axial slices of the 1 mm template above thalamus and putamen, where the template's white and
# grey matter are the cerebral ones alone.
SLICES: Final = slice(100, 140, 4)

# nibabel does not annotate its functions.
_nib: Final[Any] = nib

Truth = Bool[np.ndarray, "slices height width"]


@dataclass(frozen=True, eq=False)
class Brain:
    """A brain on disk with the true mask of each tissue in the shape of the image."""

    path: Path
    truth: dict[str, Truth]


def picture_of(package: str, *parts: str) -> Path:
    """Return the path of a file inside an installed package.

    Raises:
        ConfigError: the package is not installed or has no such file any more.
    """
    found = find_spec(package)
    folders = list(found.submodule_search_locations or ()) if found is not None else []
    path = Path(folders[0], *parts) if folders else None
    if path is None or not path.is_file():
        raise ConfigError(
            f"the demo needs {'/'.join(parts)} of the package {package}; "
            "install it: pip install 'medprism[demo]'"
        )
    return path


def write_brain(path: Path) -> Brain:
    """Write some axial slices of the MNI ICBM152 template as NIfTI; the nose points up.

    A voxel belongs to the tissue whose map is above one half there.

    Raises:
        ConfigError: nilearn is not installed.
        WriteError: the file cannot be written.
    """
    if find_spec("nilearn") is None:
        raise ConfigError("the demo needs the package nilearn; pip install 'medprism[demo]'")
    from nilearn import datasets

    image = _slab(datasets.load_mni152_template(resolution=1))
    maps = {
        "white matter": datasets.load_mni152_wm_template(resolution=1),
        "grey matter": datasets.load_mni152_gm_template(resolution=1),
    }
    # The template is stored in 8 bits; the loader scales it to 0..1.
    voxels = np.rint(np.asarray(image.dataobj) * 255).astype(np.uint8)
    stored = _nib.Nifti1Image(voxels, image.affine)
    write_durably(path, lambda temporary: _nib.save(stored, temporary))
    truth = {
        name: np.asarray(_slab(found).dataobj).transpose(2, 1, 0) > 0.5
        for name, found in maps.items()
    }
    return Brain(path, truth)


def _slab(image: Any) -> Any:  # noqa: ANN401
    """Turn x to the left and y to the back, as slices are shown, and take the chosen slices."""
    now = _nib.io_orientation(image.affine)
    wanted = _nib.orientations.axcodes2ornt("LPS")
    turned = image.as_reoriented(_nib.orientations.ornt_transform(now, wanted))
    return turned.slicer[:, :, SLICES]

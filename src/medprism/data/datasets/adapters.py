"""All dataset adapters: what a folder looks like -> how to open it, and every published set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from medprism.core.errors import ImageReadError, LabelError
from medprism.data.case import Dataset
from medprism.data.datasets.acdc import ACDC
from medprism.data.datasets.amd_sd import AMD_SD
from medprism.data.datasets.amos import AMOS_CT, AMOS_MRI
from medprism.data.datasets.autopet import AUTOPET
from medprism.data.datasets.bkai_igh import BKAI_IGH
from medprism.data.datasets.brats2021 import BRATS2021
from medprism.data.datasets.btcv import BTCV
from medprism.data.datasets.btd import BTD
from medprism.data.datasets.bus_b import BUS_B
from medprism.data.datasets.busi import BUSI
from medprism.data.datasets.chaos import CHAOS_MR
from medprism.data.datasets.chest_xray_masks import CHEST_XRAY_MASKS
from medprism.data.datasets.covid_ct import COVID_CT
from medprism.data.datasets.ctpelvic1k import CTPELVIC1K
from medprism.data.datasets.dlbs import DLBS
from medprism.data.datasets.ebhi_seg import EBHI_SEG
from medprism.data.datasets.folder import open_folder, open_volumes
from medprism.data.datasets.isic2018 import ISIC2018
from medprism.data.datasets.ivdm3seg import IVDM3SEG_FAT, IVDM3SEG_INN, IVDM3SEG_OPP, IVDM3SEG_WAT
from medprism.data.datasets.kits19 import KITS19
from medprism.data.datasets.kpis import KPIS
from medprism.data.datasets.lascarqs import LASCARQS
from medprism.data.datasets.lits import LITS
from medprism.data.datasets.mnms import MNMS
from medprism.data.datasets.mnms2 import MNMS2
from medprism.data.datasets.msd_pancreas import MSD_PANCREAS
from medprism.data.datasets.papila import PAPILA
from medprism.data.datasets.polyp_mix import POLYP_MIX
from medprism.data.datasets.published import PublishedSet
from medprism.data.datasets.published_dataset import open_published
from medprism.data.datasets.segthor import SEGTHOR
from medprism.data.datasets.structseg import STRUCTSEG_HAN, STRUCTSEG_THORAX
from medprism.data.datasets.tnui2021 import TNUI2021
from medprism.data.datasets.uwaterloo_skin import UWATERLOO_SKIN

ADAPTERS: Final[Mapping[str, Callable[[Path, Path], Dataset]]] = {
    "images": open_folder,
    "volumes": open_volumes,
}
"""Name of a subfolder that marks the layout -> adapter(folder, folder for drawn splits)."""

PUBLISHED: Final[Mapping[str, PublishedSet]] = {
    "amos_ct": AMOS_CT,
    "amos_mri": AMOS_MRI,
    "mnms": MNMS,
    "lits": LITS,
    "kits19": KITS19,
    "lascarqs": LASCARQS,
    "busi": BUSI,
    "chest_xray_masks": CHEST_XRAY_MASKS,
    "kpis": KPIS,
    "papila": PAPILA,
    "bkai_igh": BKAI_IGH,
    "isic2018": ISIC2018,
    "btcv": BTCV,
    "acdc": ACDC,
    "uwaterloo_skin": UWATERLOO_SKIN,
    "bus_b": BUS_B,
    "brats2021": BRATS2021,
    "mnms2": MNMS2,
    "autopet": AUTOPET,
    "dlbs": DLBS,
    "chaos_mr": CHAOS_MR,
    "structseg_han": STRUCTSEG_HAN,
    "structseg_thorax": STRUCTSEG_THORAX,
    "ivdm3seg_wat": IVDM3SEG_WAT,
    "ivdm3seg_inn": IVDM3SEG_INN,
    "ivdm3seg_opp": IVDM3SEG_OPP,
    "ivdm3seg_fat": IVDM3SEG_FAT,
    "segthor": SEGTHOR,
    "msd_pancreas": MSD_PANCREAS,
    "ctpelvic1k": CTPELVIC1K,
    "amd_sd": AMD_SD,
    "btd": BTD,
    "ebhi_seg": EBHI_SEG,
    "tnui2021": TNUI2021,
    "polyp_mix": POLYP_MIX,
    "covid_ct": COVID_CT,
}
"""Name -> dataset of the papers, in its official layout; opened as NAME=FOLDER."""


def open_dataset(folder: Path, splits: Path) -> Dataset:
    """Open a dataset folder with the adapter that its layout calls for.

    NAME=FOLDER opens a published set in its official layout, as in `kits19=/data/kits19`.

    Raises:
        ImageReadError: no adapter knows the layout.
        LabelError: there is no published set of that name.
    """
    named = named_set(folder)
    if named is not None:
        return open_published(*named, splits)
    for marker, adapter in ADAPTERS.items():
        if (folder / marker).is_dir():
            return adapter(folder, splits)
    raise ImageReadError(
        f"{folder} has none of the subfolders {', '.join(ADAPTERS)}; a dataset needs one of them, "
        "or the name of a published set before it (NAME=FOLDER, see: medprism data list)"
    )


def named_set(folder: Path) -> tuple[PublishedSet, Path] | None:
    """Return the published set and folder that NAME=FOLDER means, None for a plain folder.

    Raises:
        LabelError: there is no published set of that name.

    >>> named_set(Path("kits19=data"))[0].title
    'KiTS19'
    """
    name, is_named, rest = str(folder).partition("=")
    if not is_named or "/" in name or folder.exists():
        return None
    return published_set(name), Path(rest)


def published_set(name: str) -> PublishedSet:
    """Return a published set by name.

    Raises:
        LabelError: there is none of that name; the message lists all.

    >>> published_set("bkai_igh").concepts["polyp"]
    (1, 2)
    """
    if name not in PUBLISHED:
        raise LabelError(f"no published dataset {name!r}; known: {', '.join(PUBLISHED)}")
    return PUBLISHED[name]

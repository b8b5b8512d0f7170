"""What is installed: the packages medprism needs, its extras, torch, and the decoders."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

from packaging.requirements import Requirement

from medprism.apps.doctor.finding import Finding

PACKAGE: Final = "medprism"
# For those who change medprism; nobody else misses them.
_FOR_DEVELOPERS: Final = ("test", "docs")
# DICOM compressions by name; each is an attribute of pydicom.uid.
COMPRESSIONS: Final = (
    "RLELossless",
    "JPEGBaseline8Bit",
    "JPEGExtended12Bit",
    "JPEGLosslessSV1",
    "JPEGLSLossless",
    "JPEGLSNearLossless",
    "JPEG2000Lossless",
    "JPEG2000",
)
# What reads the other formats.
_LIBRARIES: Final = ("cv2", "PIL", "tifffile", "numcodecs", "nibabel", "SimpleITK", "pydicom")

Version = Callable[[str], str]


def check_installation(
    wanted: Sequence[str] | None = None, installed: Version = version
) -> list[Finding]:
    """Compare what medprism asks for with what is there, extra by extra.

    Args:
        wanted: requirements as in the metadata of a package; those of medprism by default.
        installed: gives the version of a package, or raises PackageNotFoundError.
    """
    found = list(requires(PACKAGE) or ()) if wanted is None else list(wanted)
    needed = [Requirement(text) for text in found]
    basic = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    extras = sorted({name for text in found for name in _extras_of(text)})
    return [
        Finding("medprism", "ok", f"{installed(PACKAGE)}, Python {_python()}, {_system()}"),
        _judge_basic(_lacking(basic, installed)),
        *(
            _judge_extra(extra, _lacking(_of_extra(needed, extra), installed))
            for extra in extras
            if extra not in _FOR_DEVELOPERS
        ),
    ]


def check_torch() -> Finding:
    """Import torch and do one multiplication with it."""
    try:
        import torch

        product = float((torch.ones(3, 4) @ torch.ones(4, 2)).sum())
    except (ImportError, OSError, RuntimeError) as error:
        return Finding(
            "torch",
            "problem",
            f"cannot be used ({str(error).splitlines()[0]})",
            "install it anew: pip install --force-reinstall torch==2.13.0 (without a GPU with "
            "--index-url https://download.pytorch.org/whl/cpu)",
        )
    if product != 24.0:
        return Finding("torch", "problem", f"1 x 24 gave {product}", "install torch anew")
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU in use"
    return Finding("torch", "ok", f"{torch.__version__}, {device}")


def check_decoders() -> list[Finding]:
    """Import what reads images, and ask pydicom which compressions it can unpack here."""
    lacking = [name for name in _LIBRARIES if not _can_import(name)]
    if lacking:
        advice = f"install medprism anew: pip install --force-reinstall {PACKAGE}"
        return [Finding("decoders", "problem", f"cannot import {', '.join(lacking)}", advice)]
    from pydicom import uid
    from pydicom.pixels.decoders.base import get_decoder

    closed = [name for name in COMPRESSIONS if not get_decoder(getattr(uid, name)).is_available]
    if closed:
        return [
            Finding(
                "decoders",
                "problem",
                f"DICOM compressed as {', '.join(closed)} cannot be read",
                "pip install --force-reinstall pylibjpeg pylibjpeg-openjpeg python-gdcm pillow",
            )
        ]
    return [
        Finding(
            "decoders",
            "ok",
            f"pictures, TIFF, NIfTI, NRRD, MetaImage; DICOM in {len(COMPRESSIONS)} compressions",
        )
    ]


def _judge_basic(lacking: Sequence[str]) -> Finding:
    if not lacking:
        return Finding("packages", "ok", "all that medprism needs is there")
    return Finding(
        "packages",
        "problem",
        f"missing or of another version: {'; '.join(lacking)}",
        f"pip install --upgrade {PACKAGE}",
    )


def _judge_extra(extra: str, lacking: Sequence[str]) -> Finding:
    subject = f"extra {extra}"
    if not lacking:
        return Finding(subject, "ok", "installed")
    return Finding(
        subject,
        "note",
        f"not installed: {'; '.join(lacking)}",
        f"for what needs it: pip install '{PACKAGE}[{extra}]'",
    )


def _extras_of(text: str) -> list[str]:
    """Return the extra that a requirement belongs to, none for one of the package itself.

    >>> _extras_of('fastapi>=0.115; extra == "workbench"')
    ['workbench']
    """
    _, _, marker = text.partition(";")
    quoted = marker.partition("extra ==")[2].strip(" )")
    return [quoted[1:].split(quoted[0])[0]] if quoted else []


def _of_extra(needed: Iterable[Requirement], extra: str) -> list[Requirement]:
    return [
        one
        for one in needed
        if one.marker is not None
        and one.marker.evaluate({"extra": extra})
        and not one.marker.evaluate({"extra": ""})
    ]


def _lacking(needed: Iterable[Requirement], installed: Version) -> list[str]:
    lacking = []
    for one in needed:
        try:
            there = installed(one.name)
        except PackageNotFoundError:
            lacking.append(f"{one.name}{one.specifier}")
            continue
        if not one.specifier.contains(there, prereleases=True):
            lacking.append(f"{one.name}{one.specifier} (there is {there})")
    return lacking


def _can_import(name: str) -> bool:
    try:
        __import__(name)
    except (ImportError, OSError):
        return False
    return True


def _python() -> str:
    return ".".join(str(part) for part in sys.version_info[:3])


def _system() -> str:
    return f"{platform.system()} {platform.machine()}"

"""Write the lock files anew from pyproject.toml: `python locks/renew.py` (needs uv on the PATH).

requirements.txt has every package that medprism and its extras bring, but for those of the extra
ray, which are large and stand in requirements-ray.txt. requirements-cuda.txt has those that
PyTorch's default wheel needs besides on a machine with a GPU, requirements-test.txt those for
changing medprism (the extras test and docs). torch itself carries the hashes of its wheels on PyPI
and those of torch-cpu.sha256, which are from PyTorch's own index of CPU wheels, so that one line
serves both.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

LOCKS: Final = Path(__file__).resolve().parent
PROJECT: Final = LOCKS.parent / "pyproject.toml"
CUDA: Final = re.compile(r"(nvidia|cuda|triton)\b")
FOR_DEVELOPERS: Final = ("test", "docs")
FOR_CLUSTERS: Final = "ray"
_NOTICE: Final = """\
# Written by `python locks/renew.py` from pyproject.toml; docs/install.md says how it is used.
"""


def resolve(*options: str) -> str:
    """Return what uv resolves for every system and Python that pyproject.toml allows."""
    build = re.findall(r'^requires = \["(.*)"\]', PROJECT.read_text(encoding="utf-8"), re.M)
    command = [
        *("uv", "pip", "compile", str(PROJECT), "-", "--universal", *options),
        *("--python-version", "3.11", "--generate-hashes", "--no-config", "--no-header"),
        *("--no-annotate", "--default-index", "https://pypi.org/simple", "--quiet"),
    ]
    ended = subprocess.run(
        command, input="\n".join(build), capture_output=True, text=True, check=False
    )
    if ended.returncode:
        sys.exit(f"uv could not resolve: {ended.stderr.strip()}")
    return ended.stdout


def entries(text: str) -> list[str]:
    """Return every requirement with its hashes, as it stands in a lock file."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [one for one in re.split(r"\n(?=\S)", "\n".join(lines).strip()) if one]


def with_cpu_wheels(entry: str, listed: str) -> str:
    """Add the hashes of the CPU wheels of the same version to the entry of torch."""
    version = re.match(r"torch==([\d.]+)", entry)
    if version is None:
        return entry
    hashes = [
        digest
        for digest, name in (line.split() for line in listed.splitlines())
        if name.startswith(f"torch-{version[1]}+cpu-")
    ]
    if not hashes:
        sys.exit(f"torch-cpu.sha256 has no wheel of torch {version[1]}; add its line (sha256sum)")
    return entry + "".join(f" \\\n    --hash=sha256:{digest}" for digest in hashes)


def main() -> None:
    """Write all files."""
    listed = (LOCKS / "torch-cpu.sha256").read_text(encoding="utf-8")
    everything = resolve("--all-extras")
    with TemporaryDirectory() as folder:
        constraint = Path(folder) / "everything.txt"
        constraint.write_text(everything, encoding="utf-8")
        alike = ("--constraint", str(constraint))
        used = entries(resolve(*_extras(), *alike))
        clustered = entries(resolve(*_extras(FOR_CLUSTERS), *alike))
        tested = entries(resolve(*_extras(*FOR_DEVELOPERS), *alike))
    names = {name_of(one) for one in used}
    files = {
        "requirements.txt": [with_cpu_wheels(one, listed) for one in used if not CUDA.match(one)],
        "requirements-cuda.txt": [one for one in used if CUDA.match(one)],
        "requirements-ray.txt": [one for one in clustered if name_of(one) not in names],
        "requirements-test.txt": [one for one in tested if name_of(one) not in names],
    }
    for name, kept in files.items():
        (LOCKS / name).write_text(_NOTICE + "\n".join(kept) + "\n", encoding="utf-8")


def name_of(entry: str) -> str:
    """Return the package of an entry.

    >>> name_of("torch==2.13.0 ; sys_platform == 'linux'")
    'torch'
    """
    return entry.partition("==")[0].strip()


def _extras(*more: str) -> list[str]:
    """Return the options for the extras of those who use medprism on one machine, and for more."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    apart = (*FOR_DEVELOPERS, FOR_CLUSTERS)
    extras = [*(one for one in project["optional-dependencies"] if one not in apart), *more]
    return [option for one in extras for option in ("--extra", one)]


if __name__ == "__main__":
    main()

"""What runs in the interpreter that has an official package; it needs nothing of medprism.

Started as `PYTHON runner.py PACKAGE` (nnunetv2, nninteractive or sam2) with Python 3.10 or newer,
numpy and the package. It says `GREETING`, then answers requests until its input ends. A message,
either way, is one line of JSON; an array follows as the bytes that "bytes" counts (0: none), of
"dtype" as numpy writes it and "shape", in the order of C. "do" says what is asked:

    find                         -> versions of the package, torch and Python
    load     weights, device, ...-> the device, and what the weights say about themselves
    image    with the array      opens it: SAM 2 (height, width, 3) of bytes, nnInteractive
                                 (1, 1, height, width) of float32
    start                        forgets all clicks
    click    row, col, is_positive -> the mask (height, width), bool
    segment  spacing (row, col), with the array (channels, 1, height, width) of float32
                                 -> nnU-Net's label numbers (height, width)

What a package raises comes back as {"error": sentence}; what it prints goes to standard error.
"""

from __future__ import annotations

import io
import json
import math
import os
import platform
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

GREETING = b"medprism-runner 1\n"
# As far as nnU-Net's reader of pictures puts slices apart, so that none is a neighbour.
APART = 999.0
# What nnInteractive says of weights without a file LICENSE.
UNKNOWN_LICENCE = "!!MISSING!!"
# What an array may hold: bools, integers and floats, in either order of bytes.
NUMBERS = re.compile(r"[|<>](b1|[iu][1248]|f[248])")

Header: TypeAlias = dict[str, Any]
Array: TypeAlias = np.ndarray | None
Verb: TypeAlias = Callable[[Header, Any], tuple[Header, Array]]


def pack(header: Mapping[str, object], array: Array = None) -> bytes:
    r"""Return a message as bytes.

    >>> pack({"do": "start"})
    b'{"do": "start", "bytes": 0}\n'
    >>> pack({}, np.array([[True, False]]))
    b'{"dtype": "|b1", "shape": [1, 2], "bytes": 2}\n\x01\x00'
    """
    about: Header = {}
    content = b""
    if array is not None:
        content = array.tobytes()
        about = {"dtype": array.dtype.str, "shape": list(array.shape)}
    line = json.dumps({**header, **about, "bytes": len(content)})
    return line.encode() + b"\n" + content


def unpack(header: Mapping[str, Any], content: bytes) -> Array:
    """Return the array of a message, None where it has none.

    Raises:
        ValueError: the header does not say of which numbers, or the bytes are more or fewer.
    """
    if "dtype" not in header and not content:
        return None
    kind: Any = header.get("dtype")
    shape: Any = header.get("shape")
    is_number = isinstance(kind, str) and NUMBERS.fullmatch(kind)
    is_shape = isinstance(shape, list) and all(
        isinstance(side, int) and side >= 0 for side in shape
    )
    if not is_number or not is_shape:
        raise ValueError(f"an array of {kind!r} {shape!r}")
    dtype = np.dtype(kind)
    if math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"{len(content)} bytes for an array of {kind} {shape}")
    found: np.ndarray = np.zeros(shape, dtype)
    if content:
        # A copy, as packages want arrays that they could write to.
        found[...] = np.frombuffer(content, dtype).reshape(shape)
    return found


class Adapter:
    """What the three have in common: to be found, and a device."""

    modules: tuple[str, ...] = ()
    # Names under which the package may have been installed.
    distributions: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.torch: Any = None
        self.found: list[Any] = []

    def verbs(self) -> dict[str, Verb]:
        """Return what can be asked."""
        return {"find": self.find, "load": self.load}

    def find(self, header: Header, array: Array) -> tuple[Header, Array]:
        """Import the package."""
        self.found = [import_module(name) for name in self.modules]
        self.torch = import_module("torch")
        return {
            "version": installed_version(self.distributions),
            "torch": str(self.torch.__version__),
            "python": platform.python_version(),
        }, None

    def load(self, header: Header, array: Array) -> tuple[Header, Array]:
        """Read the weights; each package has its own way."""
        raise NotImplementedError(type(self).__name__)

    def device(self, header: Header) -> Any:  # noqa: ANN401
        """Return the device that was asked for, and set the threads."""
        if header["threads"]:
            self.torch.set_num_threads(header["threads"])
        wanted = header["device"]
        if wanted == "auto":
            wanted = "cuda" if self.torch.cuda.is_available() else "cpu"
        return self.torch.device(wanted)


class NnUNet(Adapter):
    """nnU-Net v2: all labels of a slice at once, with its own test-time augmentation."""

    modules = ("nnunetv2.inference.predict_from_raw_data",)
    distributions = ("nnunetv2",)

    def __init__(self) -> None:
        super().__init__()
        self.predictor: Any = None

    def verbs(self) -> dict[str, Verb]:
        """Return what can be asked."""
        return {**super().verbs(), "segment": self.segment}

    def load(self, header: Header, array: Array) -> tuple[Header, Array]:
        """Read folds of a trained configuration, which must be 2-D."""
        device = self.device(header)
        self.predictor = self.found[0].nnUNetPredictor(
            device=device, verbose=False, verbose_preprocessing=False, allow_tqdm=False
        )
        folds = tuple(fold if fold == "all" else int(fold) for fold in header["folds"])
        self.predictor.initialize_from_trained_model_folder(
            header["weights"], folds, header["checkpoint"]
        )
        configuration = self.predictor.configuration_manager
        sides = len(configuration.patch_size)
        if sides != 2:
            raise ValueError(f"the configuration is {sides}-D; slices need one trained as 2d")
        return {
            "device": str(device),
            "normalization": list(configuration.normalization_schemes),
        }, None

    def segment(self, header: Header, array: Any) -> tuple[Header, Array]:  # noqa: ANN401
        """Return the label numbers of a slice."""
        properties = {"spacing": [APART, *header["spacing"]]}
        found = self.predictor.predict_single_npy_array(array, properties, None, None, False)
        return {}, np.asarray(found)[0].astype(np.int32)


class NnInteractive(Adapter):
    """nnInteractive: a slice is a volume of one slice, clicks add up until they are reset."""

    modules = ("nnInteractive.inference.inference_session",)
    distributions = ("nnInteractive", "nninteractive")

    def __init__(self) -> None:
        super().__init__()
        self.session: Any = None
        self.buffer = np.zeros((1, 1, 1), np.uint8)
        self.is_clicked = False

    def verbs(self) -> dict[str, Verb]:
        """Return what can be asked."""
        own = {"image": self.image, "start": self.start, "click": self.click}
        return {**super().verbs(), **own}

    def load(self, header: Header, array: Array) -> tuple[Header, Array]:
        """Read a fold; the session knows the licence of its weights since version 2."""
        device = self.device(header)
        self.session = self.found[0].nnInteractiveInferenceSession(
            device=device,
            use_torch_compile=False,
            verbose=False,
            torch_n_threads=header["threads"] or os.cpu_count() or 1,
            do_autozoom=True,
        )
        (fold,) = header["folds"]
        self.session.initialize_from_trained_model_folder(
            header["weights"], fold, header["checkpoint"]
        )
        licence = getattr(self.session, "license", None)
        is_known = licence is not None and licence != UNKNOWN_LICENCE
        return {"device": str(device), "licence": str(licence) if is_known else None}, None

    def image(self, header: Header, array: Any) -> tuple[Header, Array]:  # noqa: ANN401
        """Open an image with a buffer of its own; the session forgets the former one."""
        self.session.set_image(array)
        self.buffer = np.zeros(array.shape[1:], np.uint8)
        self.session.set_target_buffer(self.buffer)
        self.is_clicked = False
        return {}, None

    def start(self, header: Header, array: Array) -> tuple[Header, Array]:
        """Forget the clicks."""
        # The session still prepares a new image in a thread of its own; nothing was said about it.
        if self.is_clicked:
            self.session.reset_interactions()
        self.is_clicked = False
        # It draws patches where it looks closer: each structure begins with the same draws.
        np.random.seed(0)
        return {}, None

    def click(self, header: Header, array: Array) -> tuple[Header, Array]:
        """Click at (slice, row, col), which is the order of the image's axes."""
        self.is_clicked = True
        self.session.add_point_interaction(
            (0, header["row"], header["col"]), include_interaction=header["is_positive"]
        )
        return {}, self.buffer[0] > 0


class Sam2(Adapter):
    """SAM 2 on images: every round has all clicks, and the logits of the round before."""

    modules = ("sam2.build_sam", "sam2.sam2_image_predictor")
    distributions = ("sam2", "SAM-2")

    def __init__(self) -> None:
        super().__init__()
        self.predictor: Any = None
        self.points: list[tuple[int, int]] = []
        self.signs: list[int] = []
        self.logits: Any = None

    def verbs(self) -> dict[str, Verb]:
        """Return what can be asked."""
        own = {"image": self.image, "start": self.start, "click": self.click}
        return {**super().verbs(), **own}

    def load(self, header: Header, array: Array) -> tuple[Header, Array]:
        """Read a checkpoint by the configuration of its size."""
        build, predictor = self.found
        device = str(self.device(header))
        model = build.build_sam2(header["config"], header["weights"], device=device)
        self.predictor = predictor.SAM2ImagePredictor(model)
        return {"device": device}, None

    def image(self, header: Header, array: Any) -> tuple[Header, Array]:  # noqa: ANN401
        """Open an image."""
        self.predictor.set_image(array)
        return self.start(header, array)

    def start(self, header: Header, array: Array) -> tuple[Header, Array]:
        """Forget the clicks and the logits."""
        self.points, self.signs, self.logits = [], [], None
        return {}, None

    def click(self, header: Header, array: Array) -> tuple[Header, Array]:
        """Click: SAM 2 wants (x, y)."""
        self.points.append((header["col"], header["row"]))
        self.signs.append(int(header["is_positive"]))
        masks, _, self.logits = self.predictor.predict(
            point_coords=np.array(self.points, np.float32),
            point_labels=np.array(self.signs, np.int32),
            mask_input=self.logits,
            multimask_output=False,
        )
        return {}, np.asarray(masks)[0] > 0


ADAPTERS: dict[str, type[Adapter]] = {
    "nnunetv2": NnUNet,
    "nninteractive": NnInteractive,
    "sam2": Sam2,
}


def installed_version(names: tuple[str, ...]) -> str:
    """Return the version of the first of the names that is installed, else "unknown".

    >>> installed_version(("no such package",))
    'unknown'
    """
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"


def serve(adapter: Adapter, requests: io.BufferedIOBase, replies: io.BufferedIOBase) -> None:
    """Answer requests until there are no more."""
    replies.write(GREETING)
    replies.flush()
    verbs = adapter.verbs()
    for line in requests:
        header = json.loads(line)
        array = unpack(header, requests.read(header["bytes"]))
        reply: Header
        found: Array
        try:
            reply, found = verbs[header["do"]](header, array)
        except Exception as error:
            # A package may raise anything; whoever asked says what it means.
            traceback.print_exc()
            text = " ".join(str(error).split())
            reply, found = {"error": f"{type(error).__name__}: {text}"[:500]}, None
        replies.write(pack(reply, found))
        replies.flush()


if __name__ == "__main__":
    # What a package prints must not stand among the replies.
    only_replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Files beside this one must not stand in for packages of the same name.
    beside = Path(__file__).resolve().parent
    sys.path[:] = [one for one in sys.path if Path(one or ".").resolve() != beside]
    serve(ADAPTERS[sys.argv[1]](), os.fdopen(0, "rb"), only_replies)

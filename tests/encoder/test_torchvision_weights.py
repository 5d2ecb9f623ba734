"""torchvision's `.pth` files: the same outputs as a network written down here after torchvision's layout."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from showtell.config import EncoderConfig
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import EncoderError
from tests.conftest import randomise_batch_norm

State = dict[str, Tensor]


class Bottleneck(nn.Module):
    """torchvision's: the stride is in the 3x3 convolution ("ResNet v1.5")."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        y = self.bn3(self.conv3(y))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class TorchvisionResNet(nn.Module):
    """The names and the order of torchvision's ResNet50, with few channels."""

    def __init__(self, stem: int, width: int, depths: tuple[int, int, int, int] = (3, 4, 6, 3)) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem)
        channels = stem
        for i, depth in enumerate(depths):
            blocks = []
            for j in range(depth):
                blocks.append(Bottleneck(channels, width * 2**i, 2 if i and not j else 1))
                channels = 4 * width * 2**i
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """The grid before pooling: (B, D, H / 32, W / 32)."""
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def make_network(stem: int = 8, width: int = 4) -> TorchvisionResNet:
    torch.manual_seed(0)
    network = TorchvisionResNet(stem, width)
    randomise_batch_norm(network)
    return network.eval()


@pytest.fixture(scope="module")
def network() -> TorchvisionResNet:
    return make_network()


def load(path: Path) -> CNNEncoder:
    return CNNEncoder.from_config(EncoderConfig(str(path), 96, "fp32"))


def save(content: object, folder: Path) -> Path:
    path = folder / "resnet.pth"
    torch.save(content, path)
    return path


def assert_equal_outputs(encoder: CNNEncoder, network: TorchvisionResNet) -> None:
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        expected = network(images).flatten(2).transpose(1, 2)
    features = encoder(images)
    assert features.shape == expected.shape
    assert expected.std() > 0
    assert (features - expected).abs().max() <= 1e-4 * expected.abs().max()


def without(state: State, ending: str) -> State:
    return {name: tensor for name, tensor in state.items() if ending not in name}


FORMS: dict[str, Callable[[State], object]] = {
    "plain": lambda state: state,
    "without fc": lambda state: without(state, "fc."),
    "DataParallel": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "state_dict": lambda state: {"epoch": 90, "arch": "resnet50", "state_dict": state},
    "model": lambda state: {"epoch": 90, "model": state},
    "both": lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}, "optimizer": {}},
    "before 2018": lambda state: without(state, "num_batches_tracked"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_equals_torchvision(
    form: Callable[[State], object], network: TorchvisionResNet, tmp_path: Path
) -> None:
    encoder = load(save(form(network.state_dict()), tmp_path))
    assert_equal_outputs(encoder, network)
    assert encoder.transform.mean == (0.485, 0.456, 0.406)
    assert encoder.transform.std == (0.229, 0.224, 0.225)


def test_every_weight_arrives_once(network: TorchvisionResNet, tmp_path: Path) -> None:
    state = load(save(network.state_dict(), tmp_path)).state_dict()
    sums = sorted(float(tensor.double().sum()) for tensor in state.values())
    expected = without(network.state_dict(), "fc.")
    assert sums == sorted(float(tensor.double().sum()) for tensor in expected.values())


def test_stem_as_wide_as_the_first_stage(tmp_path: Path) -> None:
    """Then torchvision's first block has no shortcut convolution."""
    network = make_network(stem=16, width=4)
    assert "layer1.0.downsample.0.weight" not in network.state_dict()
    assert_equal_outputs(load(save(network.state_dict(), tmp_path)), network)


def test_half_precision_file(network: TorchvisionResNet, tmp_path: Path) -> None:
    halves = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    rounded = make_network()
    rounded.load_state_dict(halves)
    assert_equal_outputs(load(save(halves, tmp_path)), rounded)


class Spy:
    """Unpickled, it runs a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.path),)


def assert_refused(path: Path, reason: str) -> None:
    with pytest.raises(EncoderError, match=reason) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"a dog runs across the grass\n", b"\x80\x02garbage", b"PK\x03\x04"]
)
def test_not_a_torch_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "resnet.pth"
    path.write_bytes(content)
    assert_refused(path, "damaged, or not weights that can be loaded safely")


def test_truncated_file(network: TorchvisionResNet, tmp_path: Path) -> None:
    path = save(network.state_dict(), tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert_refused(path, "damaged")


def test_file_that_runs_code_is_not_run(network: TorchvisionResNet, tmp_path: Path) -> None:
    made = tmp_path / "was-run"
    assert_refused(save({**network.state_dict(), "spy": Spy(made)}, tmp_path), "loaded safely")
    assert not made.exists()


def test_whole_model_is_refused(network: TorchvisionResNet, tmp_path: Path) -> None:
    assert_refused(save(network, tmp_path), "save them by torch.save")


CONTENTS: dict[str, tuple[Callable[[State], object], str]] = {
    "list": (lambda state: [1, 2], "not a state dictionary"),
    "empty": (lambda state: {}, "not a torchvision ResNet"),
    "numbers": (lambda state: {"conv1.weight": 3}, "not a state dictionary"),
    "basic blocks": (lambda state: without(state, "conv3"), "bottlenecks"),
    "no second stage": (lambda state: without(state, "layer2"), "bottlenecks"),
    "no stem": (lambda state: without(state, "conv1.weight"), "bottlenecks"),
    "scalar": (lambda state: state | {"conv1.weight": torch.tensor(1.0)}, "bottlenecks"),
    "missing weight": (
        lambda state: without(state, "layer3.2.bn2.bias"),
        "weights are missing, .*of another size",
    ),
    "missing block": (lambda state: without(state, "layer3.2"), "plain ResNet"),
    "far block": (lambda state: state | {"layer3.99999999.bn2.bias": torch.zeros(1)}, "plain ResNet"),
    "stranger": (lambda state: state | {"head.weight": torch.zeros(1)}, "head.weight"),
    "grey": (lambda state: state | {"conv1.weight": torch.zeros(8, 1, 7, 7)}, "of another size than"),
    "wide": (
        lambda state: state | {"layer1.0.conv2.weight": torch.zeros(8, 8, 3, 3)},
        "of another size than",
    ),
}


@pytest.mark.parametrize(("change", "reason"), CONTENTS.values(), ids=CONTENTS)
def test_other_contents(
    change: Callable[[State], object], reason: str, network: TorchvisionResNet, tmp_path: Path
) -> None:
    assert_refused(save(change(dict(network.state_dict())), tmp_path), reason)

"""A user's model from torchvision and from ONNX: the same outputs, traceable, and refusals of one
sentence."""

from __future__ import annotations

import importlib
import re
import sys
import urllib.error
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graphs import ResidualPoolNet, randomized, to_onnx
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.data.models import load_model, own_input_shape
from dnisnm_lava.errors import BackendMissing, BadFile, UnsupportedModel
from dnisnm_lava.system.extras import missing

torchvision = pytest.importorskip("torchvision")


def same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """But for float32, in which an exporter may fold a batch norm."""
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * float(wanted.detach().abs().max()))


# ---------------------------------------------------------------- torchvision


def test_without_weights_torchvisions_network_is_random_and_says_so() -> None:
    with pytest.warns(
        UserWarning,
        match="torchvision:squeezenet1_1: no weights given, so they are random and accuracy is meaningless",
    ):
        model = load_model("torchvision:squeezenet1_1")
    assert type(model).__name__ == "SqueezeNet"
    assert not model.training


@pytest.mark.parametrize("name", ["squeezenet1_1", "googlenet"])
def test_a_file_of_weights_is_loaded_without_a_notice(tmp_path: Path, name: str) -> None:
    """googlenet as torchvision's own weights leave it: without the auxiliary heads."""
    options = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    own = randomized(torchvision.models.get_model(name, **options), 0)
    torch.save(own.state_dict(), tmp_path / "w.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = load_model(f"torchvision:{name}", tmp_path / "w.pt")
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(model(x), own.eval()(x))


def test_named_weights_are_what_torchvision_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    own = torchvision.models.squeezenet1_1().state_dict()
    asked = []

    def download(url: str, *_: object, **__: object) -> object:
        asked.append(url)
        return own

    monkeypatch.setattr(sys.modules["torchvision.models._api"], "load_state_dict_from_url", download)
    model = load_model("torchvision:squeezenet1_1", "DEFAULT")
    assert len(asked) == 1
    assert asked[0].startswith("https://download.pytorch.org/models/squeezenet1_1")
    assert torch.equal(model.state_dict()["features.0.weight"], own["features.0.weight"])


def test_a_failed_download_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> object:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(sys.modules["torchvision.models._api"], "load_state_dict_from_url", download)
    with pytest.raises(
        BadFile,
        match=r"DEFAULT: the weights of squeezenet1_1 cannot be downloaded \(.*not known.*\); give a "
        r"file of them",
    ):
        load_model("torchvision:squeezenet1_1", "DEFAULT")


@pytest.mark.parametrize(
    ("spec", "weights", "said"),
    [
        (
            "torchvision:resnet19",
            None,
            "torchvision:resnet19: torchvision has no such network; did you mean resnet18",
        ),
        (
            "torchvision:zzz",
            None,
            "torchvision:zzz: torchvision has no such network; torchvision.models.list_models() lists",
        ),
        (
            "torchvision:resnet18",
            "IMAGENET1K_V7",
            "IMAGENET1K_V7: no such file, and no weights of resnet18; give a state_dict or one of",
        ),
        (
            "torchvision:resnet18",
            "nowhere.pt",
            "nowhere.pt: no such file, and no weights of resnet18; give a state_dict or one of DEFAULT",
        ),
    ],
)
def test_an_unknown_name_gets_the_names_beside_it(spec: str, weights: str | None, said: str) -> None:
    with pytest.raises(BadFile) as error:
        load_model(spec, weights)
    assert str(error.value).startswith(said)


def test_a_segmentation_network_is_built_without_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision would fetch a trained backbone."""
    monkeypatch.setattr(
        sys.modules["torchvision.models._api"], "load_state_dict_from_url", lambda *_, **__: 1 / 0
    )
    with pytest.warns(UserWarning, match="random"):
        assert type(load_model("torchvision:fcn_resnet50")).__name__ == "FCN"


def test_the_shape_of_an_image_is_known_for_classifiers_alone() -> None:
    assert own_input_shape("torchvision:resnet18") == (3, 224, 224)
    assert own_input_shape("torchvision:inception_v3") == (3, 299, 299)
    assert own_input_shape("torchvision:fcn_resnet50") is None
    assert own_input_shape("net.py:net") is None
    with pytest.raises(BadFile, match="did you mean resnet18"):
        own_input_shape("torchvision:resnet19")


# ---------------------------------------------------------------- ONNX


class Residual(nn.Module):
    """What exporters write in many ways: padding, a concatenation, a shuffle, ReLU6, slices, means, views."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.c, self.d = nn.Conv2d(8, 4, 3), nn.Conv2d(8, 4, 1)
        self.fc1, self.fc2 = nn.Linear(8 * 4 * 4, 6, bias=False), nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self.a(x))
        x = F.relu(x + self.bn(self.b(x)))
        x = torch.cat([F.relu(self.c(F.pad(x, (1, 1, 2, 0)))), F.relu(self.d(x))], 1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        first, second = x[:, :3], x[:, 3:]
        x = torch.cat([second, first], 1)
        left, right = torch.split(F.avg_pool2d(x, 2), [5, 3], 1)
        x = torch.cat([right, left], 1)
        return self.fc2(F.relu(self.fc1(x.view(x.size(0), -1))))


def pooled() -> nn.Sequential:
    """Global average pooling, flatten, Gemm; layers inside layers, for their names."""
    block = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3, stride=2), relu=nn.ReLU()))
    return nn.Sequential(
        OrderedDict(stem=block, pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(4, 3))
    )


def exported(
    model: nn.Module,
    path: Path,
    shape: tuple[int, ...] = (3, 8, 8),
    opset: int = 13,
    free: tuple[int, ...] = (),
) -> str:
    axes = {"image": {axis: f"axis{axis}" for axis in free}} if free else None
    names = {"input_names": ["image"], "output_names": ["logits"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        to_onnx(model.eval(), torch.randn(1, *shape), path, opset_version=opset, dynamic_axes=axes, **names)
    return str(path)


@pytest.fixture
def onnx() -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")


@pytest.mark.usefixtures("onnx")
@pytest.mark.parametrize("free", [(), (0,)], ids=["a batch of one", "any batch"])
@pytest.mark.parametrize("opset", [11, 13, 17, 18])
def test_an_onnx_file_is_the_model_that_was_exported(
    tmp_path: Path, opset: int, free: tuple[int, ...]
) -> None:
    model = randomized(Residual(), 0)
    loaded = load_model(exported(model, tmp_path / "a.onnx", opset=opset, free=free))
    x = torch.randn(3, 3, 8, 8)
    assert not loaded.training
    same(loaded(x), model(x))
    traced = torch.export.export(loaded, (x[:2],), strict=True).module()
    same(traced(x[:2]), model(x[:2]))


@pytest.mark.usefixtures("onnx")
@pytest.mark.parametrize("model", [ResidualPoolNet(), pooled()], ids=["residual", "pooled"])
def test_an_onnx_file_with_free_axes_is_the_model(tmp_path: Path, model: nn.Module) -> None:
    model = randomized(model, 1)
    channels = next(model.parameters()).shape[1]
    spec = exported(model, tmp_path / "a.onnx", (channels, 6, 6), free=(0, 2, 3))
    assert own_input_shape(spec) is None
    x = torch.randn(2, channels, 6, 6)
    for loaded in (load_model(spec), load_model(spec, input_shape=(channels, 6, 6))):
        same(torch.export.export(loaded, (x,), strict=True).module()(x), model(x))


@pytest.mark.usefixtures("onnx")
def test_a_view_of_free_axes_needs_the_shape_of_an_image(tmp_path: Path) -> None:
    model = randomized(Residual(), 0)
    spec = exported(model, tmp_path / "a.onnx", free=(0, 2, 3))
    with pytest.raises(UnsupportedModel, match=r"its image has no fixed shape: give it \(--input-shape\)"):
        load_model(spec)
    x = torch.randn(2, 3, 8, 8)
    same(load_model(spec, input_shape=(3, 8, 8))(x), model(x))


@pytest.mark.usefixtures("onnx")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("resnet18", marks=pytest.mark.campaign),
        pytest.param("mobilenet_v2", marks=pytest.mark.campaign),
        "shufflenet_v2_x0_5",
    ],
)
def test_torchvisions_networks_come_back_from_onnx(tmp_path: Path, name: str) -> None:
    model = randomized(torchvision.models.get_model(name), 0)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
    loaded = load_model(exported(model, tmp_path / "a.onnx", (3, 33, 33)))
    x = torch.randn(2, 3, 33, 33)
    same(loaded(x), model(x))
    torch.export.export(loaded, (x,), strict=True)


@pytest.mark.usefixtures("onnx")
def test_layers_keep_their_names(tmp_path: Path) -> None:
    loaded = load_model(exported(randomized(pooled(), 0), tmp_path / "a.onnx"))
    assert [name for name, _ in loaded.named_parameters()] == [
        "fc.weight",
        "fc.bias",
        "stem.conv.weight",
        "stem.conv.bias",
    ]
    loaded = load_model(exported(randomized(Residual(), 0), tmp_path / "b.onnx"))
    assert {name for name, _ in loaded.named_parameters()} >= {
        "a.weight",
        "fc1.weight",
        "fc2.weight",
        "fc2.bias",
    }


@pytest.mark.usefixtures("onnx")
def test_an_onnx_file_knows_its_image(tmp_path: Path) -> None:
    spec = exported(randomized(pooled(), 0), tmp_path / "a.onnx", (3, 9, 7), free=(0,))
    assert own_input_shape(spec) == (3, 9, 7)


@pytest.mark.usefixtures("onnx")
def test_a_newer_opset_that_says_the_same_is_read(tmp_path: Path) -> None:
    """As torch 2.9 exports: opset 20, the axes of a mean as an input."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = torch.randn(4, 3, 3, 3)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["z"], name="conv"),
        helper.make_node("Relu", ["z"], ["a"]),
        helper.make_node("ReduceMean", ["a", "axes"], ["y"], keepdims=0, noop_with_empty_axes=0),
    ]
    values = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
        for n, s in (("x", ["batch", 3, 6, 6]), ("y", ["batch", 4]))
    ]
    weights = [
        numpy_helper.from_array(weight.numpy(), "w"),
        helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]),
    ]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], weights)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9),
        str(tmp_path / "a.onnx"),
    )
    x = torch.randn(2, 3, 6, 6)
    same(load_model(str(tmp_path / "a.onnx"))(x), F.relu(F.conv2d(x, weight)).mean((2, 3)))


@pytest.mark.usefixtures("onnx")
def test_a_split_into_uneven_parts_is_that_of_onnx(tmp_path: Path) -> None:
    """Opset 18: 5 channels in 2 parts are 3 and 2."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2),
        helper.make_node("Concat", ["b", "a"], ["y"], axis=1),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 5, 2, 2]) for n in "xy"]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9),
        str(tmp_path / "a.onnx"),
    )
    x = torch.randn(2, 5, 2, 2)
    assert torch.equal(load_model(str(tmp_path / "a.onnx"))(x), torch.cat([x[:, 3:], x[:, :3]], 1))


@pytest.mark.usefixtures("onnx")
def test_what_is_no_onnx_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"nowhere.onnx: no such file"):
        load_model(str(tmp_path / "nowhere.onnx"))
    sound = Path(exported(randomized(pooled(), 0), tmp_path / "a.onnx"))
    for content in (b"not at all", sound.read_bytes()[:300], b""):
        (tmp_path / "b.onnx").write_bytes(content)
        with pytest.raises(BadFile, match=r"b.onnx: not a sound ONNX file, or truncated"):
            load_model(str(tmp_path / "b.onnx"))
    with pytest.raises(BadFile, match=r"an ONNX file brings its own weights; leave out w\.pt"):
        load_model(str(sound), "w.pt")


@pytest.mark.usefixtures("onnx")
def test_an_operation_without_a_module_is_named(tmp_path: Path) -> None:
    class Triangle(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.tril()

    with pytest.raises(
        UnsupportedModel,
        match=r"a.onnx: 1 of its nodes has no meaning here. /Trilu \(Trilu\): it has no torch module",
    ):
        load_model(exported(Triangle(), tmp_path / "a.onnx", opset=14))


def test_onnx_not_installed_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(BackendMissing, match=re.escape(missing("onnx", "onnx"))):
        load_model(str(tmp_path / "a.onnx"))


def test_onnx_and_torchvision_are_imported_when_asked_for() -> None:
    loading = Path(importlib.import_module("dnisnm_lava.data.models").__file__ or "")
    sources = [path.read_text() for path in (loading, *loading.with_name("onnx").glob("*.py"))]
    assert len(sources) > 1
    assert not re.findall(r"^(?:import|from) (?:onnx|torchvision)\b", "\n".join(sources), re.MULTILINE)


@pytest.mark.parametrize(
    "options",
    [
        {"scale_factor": 2},
        {"size": (8, 8)},
        {"scale_factor": 2, "mode": "bilinear"},
        {"size": (11, 9), "mode": "bilinear", "align_corners": True},
    ],
    ids=["nearest by a scale", "nearest to a size", "bilinear by a scale", "bilinear to a size"],
)
def test_an_onnx_file_with_an_upsampling_converts(tmp_path: Path, options: dict[str, object]) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")

    class Upsampling(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.interpolate(torch.relu(self.conv(x)), **options)  # type: ignore[arg-type]

    model, x = Upsampling().eval(), np.random.default_rng(0).normal(size=(2, 3, 6, 6)).astype(np.float32)
    to_onnx(model, torch.from_numpy(x[:1]), tmp_path / "a.onnx", opset_version=17)
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).numpy()
    found = dn.from_torch(load_model(str(tmp_path / "a.onnx")), x[0]).ann(x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)  # float32 sums of 27 terms below 10

"""Files of weights as users have them: of many kinds, with wrappers and checkpoints around, in parts; none of
them runs."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from graphs import Chain, randomized
from torch import nn
from torch.nn.utils import prune

import dnisnm_lava as dn
from dnisnm_lava.data.weights import downloads, reading
from dnisnm_lava.errors import BackendMissing, BadFile
from dnisnm_lava.system.extras import missing_alone

State = dict[str, Any]


def state(seed: int = 1) -> State:
    return dict(randomized(Chain(), seed).state_dict())


def loaded(content: Any, model: nn.Module | None = None) -> nn.Module:
    """A Chain, or `model`, with `content` in it, and no notice."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return dn.load_model(Chain() if model is None else model, content)


def holds(model: nn.Module, wanted: State) -> bool:
    return all(torch.equal(value, wanted[key]) for key, value in model.state_dict().items())


# ---------------------------------------------------------------- nothing runs


class Program(nn.Module):
    """When it is loaded, it prints."""

    @torch.jit.export
    def __getstate__(self):  # type: ignore[no-untyped-def]
        return self.training

    @torch.jit.export
    def __setstate__(self, state: bool) -> None:
        self.training = state
        print("code of the file runs")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def script(path: Path) -> Path:
    torch.jit.script(Program()).save(str(path))
    return path


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.th", "a.bin", "a.npz", "a.safetensors"])
def test_code_of_a_torchscript_archive_never_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    path = script(tmp_path / name)
    with pytest.raises(
        BadFile,
        match=r"a TorchScript archive, which holds code that runs when it is loaded: refused; in the program",
    ):
        dn.load_model(nn.Linear(3, 2), path)
    with pytest.raises(BadFile, match="a TorchScript archive"):
        dn.load_model("torchvision:squeezenet1_1", path)
    assert capfd.readouterr().out == ""
    torch.jit.load(str(path))
    assert capfd.readouterr().out == "code of the file runs\n"  # the file is what it seems


def test_a_comment_at_the_end_of_an_archive_hides_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Readers look there for the names; each finds its own."""
    path = script(tmp_path / "a.pt")
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"PK\x05\x06" + bytes(18)
    with pytest.raises(BadFile):
        dn.load_model(nn.Linear(3, 2), path)
    assert capfd.readouterr().out == ""


def test_a_tar_archive_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            (tmp_path / name).write_bytes(b"\x80\x02K\x00.")
            archive.add(tmp_path / name, name)
    with pytest.raises(
        BadFile,
        match=r"a\.tar: a tar archive, as torch wrote before version 0\.2, which is not unpacked here",
    ):
        dn.load_model(nn.Linear(3, 2), path)


def test_a_kept_download_that_is_another_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch compares a file with the hash in its name where it downloads it, and unpickles what it finds
    later."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    url = "https://download.pytorch.org/models/net-{}.pth"
    for name, sound in ((hashlib.sha256(b"weights").hexdigest()[:8], True), ("00000000", False)):
        (tmp_path / f"hub/checkpoints/net-{name}.pth").write_bytes(b"weights")
        if sound:
            downloads.check_kept(url.format(name))
        else:
            with pytest.raises(
                BadFile,
                match=r"net-00000000\.pth: not what torchvision published: its SHA-256 begins with \w+, "
                r"not 0+",
            ):
                downloads.check_kept(url.format(name))
    downloads.check_kept("https://download.pytorch.org/models/absent-12345678.pth")
    downloads.check_kept("https://download.pytorch.org/models/without.pth")


def test_named_weights_are_looked_at_before_torchvision_loads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    weights = torchvision.models.SqueezeNet1_1_Weights.DEFAULT
    (tmp_path / "hub/checkpoints" / weights.url.rpartition("/")[2]).write_bytes(b"another")
    with pytest.raises(BadFile, match="remove it, and it is downloaded anew"):
        dn.load_model("torchvision:squeezenet1_1", "DEFAULT")


# ---------------------------------------------------------------- kinds of files


def test_arrays_by_name_are_weights(tmp_path: Path) -> None:
    wanted = state()
    np.savez(tmp_path / "w.npz", **{k: v.numpy() for k, v in wanted.items()})
    assert holds(loaded(tmp_path / "w.npz"), wanted)
    np.savez(tmp_path / "o.npz", **{k: np.array([object()]) for k in wanted})
    with pytest.raises(BadFile, match=r"o\.npz: not a state_dict"):
        loaded(tmp_path / "o.npz")


def test_arrays_keep_their_shape_and_value(tmp_path: Path) -> None:
    """A counter of batches is one number; another machine's bytes come in another order."""
    wanted = torch.nn.BatchNorm2d(3).train()
    wanted(torch.rand(4, 3, 2, 2))
    arrays = {k: v.numpy() for k, v in wanted.state_dict().items()}
    np.savez(tmp_path / "w.npz", **{k: v.astype(v.dtype.newbyteorder(">")) for k, v in arrays.items()})
    found = dn.load_model(torch.nn.BatchNorm2d(3), tmp_path / "w.npz").state_dict()
    assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in arrays.items()}


def safetensors_of(wanted: State) -> bytes:
    """The format, by hand: the length of a header of JSON, the header, the numbers."""
    header, data = {}, b""
    for key, value in wanted.items():
        numbers = value.numpy().tobytes()
        header[key] = {
            "dtype": "F32",
            "shape": list(value.shape),
            "data_offsets": [len(data), len(data) + len(numbers)],
        }
        data += numbers
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_safetensors_are_read_where_their_library_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, path = state(), tmp_path / "w.safetensors"
    path.write_bytes(safetensors_of(wanted))
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(BackendMissing, match=re.escape(missing_alone("safetensors"))):
        loaded(path)
    monkeypatch.undo()
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    assert holds(loaded(path), wanted)
    path.write_bytes(safetensors_of(wanted)[:-8])
    with pytest.raises(BadFile, match="a damaged safetensors file"):
        loaded(path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes"),
        (
            "a.pt",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "a pointer of Git LFS, not the file itself; fetch it with",
        ),
        ("a.pt", b"\n<!DOCTYPE html><html>", "a page of the web, or XML; download the file itself"),
        ("a.npy", b"\x93NUMPY\x01\x00", "one array of NumPy's; save arrays by the names of the state_dict"),
        ("a.pt", b"\x1f\x8b\x08\x00", "compressed with gzip; unpack it"),
        ("a.onnx", b"\x08\x07", "an ONNX file, which is a network and its weights; give it as --model"),
    ],
)
def test_a_file_of_another_kind_is_told_by_its_kind(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadFile) as error:
        loaded(tmp_path / name)
    assert said in str(error.value)


def test_an_exported_program_is_told(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(nn.Linear(3, 2), (torch.zeros(1, 3),)), str(tmp_path / "a.pt2"))
    with pytest.raises(BadFile, match=r"a\.pt2: a program of torch\.export; give its weights"):
        loaded(tmp_path / "a.pt2")


# ---------------------------------------------------------------- checkpoints


def prefixed(prefix: str, values: State) -> State:
    return {prefix + key: value for key, value in values.items()}


CHECKPOINTS: dict[str, tuple[Callable[[State], Any], str]] = {
    "compiled": (lambda s: prefixed("_orig_mod.", s), ""),
    "compiled and parallel": (lambda s: prefixed("_orig_mod.module.", s), "names that begin with 'module.'"),
    "parallel and compiled": (lambda s: prefixed("module._orig_mod.", s), "names that begin with 'module.'"),
    "compiled in its middle": (lambda s: {k.replace("fc1.", "fc1._orig_mod."): v for k, v in s.items()}, ""),
    "FSDP": (lambda s: prefixed("_fsdp_wrapped_module.", s), ""),
    "model_state_dict": (
        lambda s: {"model_state_dict": s, "epoch": 3},
        "the weights are taken from ['model_state_dict']",
    ),
    "model": (
        lambda s: {"epoch": 1, "model": s, "optimizer": {"state": {0: {"exp_avg": s["fc1.weight"]}}}},
        "['model']",
    ),
    "net": (
        lambda s: {"net": prefixed("module.", s), "acc": 93.1},
        "['net'], names that begin with 'module.'",
    ),
    "lightning": (
        lambda s: {
            "state_dict": {**prefixed("model.", s), "loss.weight": torch.ones(3)},
            "pytorch-lightning_version": "2",
        },
        "['state_dict'], names that begin with 'model.'; 1 tensors beside them are left out",
    ),
    "averaged": (
        lambda s: {"n_averaged": torch.tensor(3), **prefixed("module.", s)},
        "names that begin with 'module.'",
    ),
    "two deep": (lambda s: {"ckpt": {"weights": {"params": s}}}, "['ckpt']['weights']['params']"),
    "with its optimizer's": (
        lambda s: (s, {"state": {0: {"exp_avg": s["fc1.weight"]}}, "param_groups": [{"lr": 0.1}]}),
        "the weights are taken from [0]",
    ),
    "of a list": (lambda s: {"epoch": 2, "models": [{"net": s}]}, "['models'][0]['net']"),
    "the same twice": (lambda s: {"model": s, "ema": {k: v.clone() for k, v in s.items()}}, "['model']"),
    "half": (lambda s: {k: v.half().float() for k, v in s.items()}, ""),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_the_one_dict_that_fits_is_taken_and_told(tmp_path: Path, kind: str) -> None:
    wanted = {k: v.half().float() for k, v in state().items()}
    made, said = CHECKPOINTS[kind]
    torch.save(made(wanted), tmp_path / "c.pt")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = dn.load_model(Chain(), tmp_path / "c.pt")
    assert holds(model, wanted)
    assert said in " ".join(str(w.message) for w in told)
    assert bool(said) == bool(told)


def test_a_network_in_a_wrapper_takes_its_own_weights() -> None:
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Chain()

    assert holds(loaded(state(), Wrapper()).net, state())
    assert holds(loaded(prefixed("module.", state()), nn.DataParallel(Chain())).module, state())


def test_two_dicts_that_fit_are_refused_by_their_keys() -> None:
    for content, said in (
        (
            {"state_dict": state(), "state_dict_ema": state(2)},
            "2 sets of weights in it fit Chain: ['state_dict']; ['state_dict_ema']",
        ),
        (
            {**prefixed("student.", state()), **prefixed("teacher.", state(2))},
            "names that begin with 'student.'; names that begin with",
        ),
    ):
        with pytest.raises(BadFile) as error:
            loaded(content)
        assert said in str(error.value)
        assert "save the one that you mean alone" in str(error.value)


def test_where_none_fits_the_keys_and_the_nearest_are_told() -> None:
    short = state()
    del short["fc2.bias"]
    for content, said in (
        (
            {"epoch": 3, "shadow_params": [torch.ones(3)]},
            "not a state_dict of tensors: its keys are 'epoch', 'shadow_params'",
        ),
        ([torch.ones(3)], "holds a list, not a state_dict of tensors"),
        (
            {"model": short, "other": {"a": torch.ones(1)}},
            "does not fit Chain (['model']): 1 missing (fc2.bias), 0 unexpected",
        ),
        (
            {**state(), "fc9.weight": torch.ones(2)},
            "does not fit Chain: 0 missing, 1 unexpected (fc9.weight)",
        ),
        (
            {**state(), "fc1.weight": torch.ones(2, 2)},
            "1 of another shape (fc1.weight); give the weights of this very model",
        ),
        ({}, "its keys are none"),
    ):
        with pytest.raises(BadFile) as error:
            dn.load_model(Chain(), _saved(content))
        assert said in str(error.value)


def _saved(content: Any) -> Any:
    """In memory where it is a dict, else through what reads files."""
    return content if isinstance(content, dict) else _file(content)


def _file(content: Any) -> Path:
    import tempfile

    path = Path(tempfile.mkdtemp()) / "c.pt"
    torch.save(content, path)
    return path


# ---------------------------------------------------------------- what is no dense float tensor


def convolution(seed: int = 0) -> nn.Module:
    return randomized(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU()), seed)


@pytest.mark.parametrize("kind", ["weight_norm", "weight_norm over all", "old weight_norm", "pruned"])
def test_weights_in_parts_are_what_the_trained_network_computed(kind: str) -> None:
    trained = convolution()
    layer: Any = trained[0]  # type: ignore[index]
    if kind == "pruned":
        prune.l1_unstructured(layer, "weight", 0.5)
    elif kind == "old weight_norm":
        with pytest.warns(UserWarning, match="deprecated"):
            nn.utils.weight_norm(layer)
        layer.weight_g.data *= 1.7
    else:
        nn.utils.parametrizations.weight_norm(layer, dim=None if "all" in kind else 0)
        layer.parametrizations.weight.original0.data *= 1.7
    x = torch.randn(2, 1, 5, 5)
    wanted = trained(x).detach()
    with pytest.warns(UserWarning, match=r"1 weights are made of their parts"):
        found = dn.load_model(convolution(3), dict(trained.state_dict()))
    torch.testing.assert_close(
        found(x), wanted, rtol=0, atol=1e-6
    )  # float32 sums of 9 terms below 10, normed in another order
    if kind == "pruned":
        assert torch.equal(found(x), wanted)


@pytest.mark.parametrize("kind", ["spectral", "orthogonal", "lora"])
def test_weights_that_are_computed_otherwise_are_told(kind: str) -> None:
    trained = convolution()
    if kind == "lora":
        content = {**trained.state_dict(), "0.lora_A.weight": torch.ones(2, 9)}
        said = "holds adapters (LoRA: 0.lora_A.weight) beside the weights; merge them first"
    else:
        getattr(nn.utils.parametrizations, kind + ("_norm" if kind == "spectral" else ""))(trained[0])  # type: ignore[index]
        content, said = (
            dict(trained.state_dict()),
            "holds weights that are computed from 0.parametrizations.weight.original in each call",
        )
    with pytest.raises(BadFile) as error:
        loaded(content, convolution())
    assert said in str(error.value)


def quantized(kind: str) -> nn.Module:
    model = randomized(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)), 0)
    if kind == "dynamic":
        return torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    whole = nn.Sequential(
        torch.ao.quantization.QuantStub(), *model, torch.ao.quantization.DeQuantStub()
    ).eval()
    whole.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")  # type: ignore[assignment]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = torch.ao.quantization.prepare(whole)
        prepared(torch.rand(2, 1, 5, 5))
        return torch.ao.quantization.convert(prepared)


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_weights_of_a_quantized_network_are_told(tmp_path: Path, kind: str) -> None:
    model = quantized(kind)
    torch.save(model.state_dict(), tmp_path / "q.pt")
    for content in (dict(model.state_dict()), tmp_path / "q.pt"):
        with pytest.raises(
            BadFile,
            match=r"weights of a quantized network.*; give the float weights from before quantization",
        ):
            loaded(content, nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)))


def test_integers_and_complex_numbers_are_no_weights() -> None:
    for kind in (torch.int8, torch.complex64, torch.bool):
        content = {**state(), "fc1.weight": state()["fc1.weight"].to(kind)}
        with pytest.raises(
            BadFile,
            match=rf"1 weights are no floats \(fc1\.weight is {str(kind)[6:]}\); give the float weights",
        ):
            loaded(content)


def test_weights_without_values_are_told() -> None:
    with pytest.raises(
        BadFile, match=rf"{len(state())} weights have no values \(meta device\); save it anew"
    ):
        loaded({k: v.to("meta") for k, v in state().items()})


def test_narrow_floats_and_sparse_tensors_are_their_values() -> None:
    wanted = {k: v.bfloat16().float() for k, v in state().items()}
    assert holds(loaded({k: v.bfloat16() for k, v in wanted.items()}), wanted)
    assert holds(loaded({k: v.to_sparse() for k, v in wanted.items()}), wanted)
    eighth = {k: v.to(torch.float8_e4m3fn) for k, v in wanted.items()}
    assert holds(loaded(eighth), {k: v.float() for k, v in eighth.items()})


def test_weights_of_fake_quantization_are_those_of_the_floats_under_it() -> None:
    from torch.ao.quantization import get_default_qat_qconfig_mapping, quantize_fx

    model = convolution()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trained = quantize_fx.prepare_qat_fx(
            copy.deepcopy(model).train(), get_default_qat_qconfig_mapping("x86"), (torch.ones(2, 1, 5, 5),)
        )
    with pytest.warns(UserWarning, match=r"values of observers and fake quantization are left out"):
        found = dn.load_model(convolution(3), dict(trained.state_dict()))
    assert holds(found, dict(model.state_dict()))


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"w\.pt: no such file; check the path of the weights"):
        reading.read(tmp_path / "w.pt")

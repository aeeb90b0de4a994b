"""What no model may be, whatever its operations: no module, quantized already, without values, with values
that are no numbers."""

from __future__ import annotations

from typing import Any

import torch

from dnisnm_lava.errors import OutOfRange, UnsupportedModel

QUANTIZERS = {"FakeQuantizeBase", "ObserverBase", "FakeQuantize"}
MADE_BY_HOOKS = {"WeightNorm", "SpectralNorm", "BasePruningMethod"}


def check_model(model: Any) -> None:
    """UnsupportedModel for what is no module, or cannot be traced whatever the input; OutOfRange, by name,
    for NaN or infinity among the weights."""
    if not isinstance(model, torch.nn.Module) or isinstance(model, torch.jit.ScriptModule):
        kind = type(model).__name__
        raise UnsupportedModel(
            f"{kind}: not a torch.nn.Module in Python; give the module itself, not a class, a script or "
            f"its weights"
        )
    for name, module in model.named_modules():
        _refuse_hooks(name, module)
        _refuse_quantized(name, module)
    for name, parameter in (*model.named_parameters(), *model.named_buffers()):
        if torch.nn.parameter.is_lazy(parameter) or parameter.is_meta:
            raise UnsupportedModel(
                f"{name}: has no values yet (lazy, or on the meta device); run the model once, or load "
                f"its weights"
            )
    for name, tensor in model.state_dict().items():
        _refuse_other_numbers(name, tensor)


def _refuse_hooks(name: str, module: torch.nn.Module) -> None:
    hooks = [c.__name__ for h in module._forward_pre_hooks.values() for c in type(h).__mro__]
    if MADE_BY_HOOKS & set(hooks):
        raise UnsupportedModel(
            f"{name}: its weights are made anew in each call by a hook ({hooks[0]}); call "
            f"torch.nn.utils.remove_weight_norm, "
            "remove_spectral_norm or prune.remove on it, or use torch.nn.utils.parametrizations"
        )


def _refuse_quantized(name: str, module: torch.nn.Module) -> None:
    """Refuse what torch.ao makes, in eager mode and by fx: integers in packed layers, or floats that are
    rounded on the way."""
    kinds = {c.__name__ for c in type(module).__mro__}
    who = name or type(module).__name__
    if QUANTIZERS & kinds:
        raise UnsupportedModel(
            f"{who}: a {type(module).__name__}, which rounds floats as quantization would "
            f"(quantization-aware training, or calibration "
            "for it); give the network as it was before torch.ao's prepare, with these weights: quantize "
            "chooses integers of its own"
        )
    place = type(module).__module__
    if (
        place.startswith("torch.") and ".quantized" in place and "FloatFunctional" not in kinds
    ):  # which adds floats
        raise UnsupportedModel(
            f"{who}: a {type(module).__name__} of {place}, quantized to integers; give the float network "
            f"from before quantization: "
            "quantize chooses integers of its own"
        )


def _refuse_other_numbers(name: str, tensor: Any) -> None:
    if not isinstance(tensor, torch.Tensor):
        return  # what a module keeps beside its weights (get_extra_state)
    if tensor.is_quantized or tensor.is_complex():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise UnsupportedModel(f"{name}: of {kind}; give the network with float weights")
    if tensor.layout != torch.strided:
        layout = str(tensor.layout).removeprefix("torch.")
        raise UnsupportedModel(f"{name}: a {layout} tensor; make it dense with to_dense()")
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        bad = int((~torch.isfinite(tensor)).sum())
        raise OutOfRange(f"{name}: {bad} of {tensor.numel()} weights are NaN or infinite; load sound weights")

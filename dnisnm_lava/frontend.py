"""torch.nn.Module to AnalogGraph, through torch.export (ATen).

Every tensor of the traced graph is a sum of linear maps of populations plus a bias map. A rectifier or
a read-out turns such a sum into a population. What is not listed in `_OPERATIONS` is refused by name.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from dnisnm_lava.errors import OutOfRange, UnsupportedModel
from dnisnm_lava.ir import AnalogGraph, Input, MaxPool, Population, Projection, ReadOut, Rectifier, Shape, sources
from dnisnm_lava.synapses import Pair, Window, sum_pool


def from_torch(model: torch.nn.Module, example_input: Any) -> AnalogGraph:
    """The ANN as populations and projections, in float64, batch norm folded.

    example_input: one image (C, H, W) or a batch (N, C, H, W); only its shape matters. The model is traced
    in eval mode and left as it was. UnsupportedModel names the operation and the line of `forward` that has
    no exact meaning; OutOfRange tells of NaN or infinity in the weights.
    """
    _check_weights(model)
    example = _example(model, example_input)
    exported = _export(model, example)
    return _Lowering(exported, tuple(example.shape[1:])).graph()


def _check_weights(model: torch.nn.Module) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            raise OutOfRange(f"{name}: {bad} of {tensor.numel()} weights are NaN or infinite; load sound weights")


def _example(model: torch.nn.Module, example_input: Any) -> torch.Tensor:
    """A batch of two: a batch of one could be mistaken for an axis of length one."""
    x = torch.as_tensor(np.asarray(example_input), dtype=torch.float32)
    x = x[None] if x.ndim in (1, 3) else x
    if x.ndim not in (2, 4):
        raise OutOfRange(f"example_input: shape {tuple(x.shape)} given; give (C, H, W) or (N, C, H, W)")
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return x[:1].expand(2, *x.shape[1:]).contiguous().to(device)


def _export(model: torch.nn.Module, example: torch.Tensor) -> Any:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            return torch.export.export(model, (example,)).run_decompositions()
    except Exception as error:  # torch.export raises many kinds; each means that the model was not traced
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UnsupportedModel(
            f"{type(model).__name__}: torch.export cannot trace it for an input of shape {tuple(example.shape[1:])} "
            f"({reason}); make forward free of data-dependent control flow, and check the input's shape"
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training


# ---------------------------------------------------------------- linear expressions


@dataclass(frozen=True)
class _Term:
    """scale * source, then an optional sum-pool, then an optional conv or dense (`linear`)."""

    source: str
    shape: Shape  # of the source
    scale: np.ndarray  # (C,)
    pool: Window | None = None
    linear: Projection | None = None

    def projection(self) -> Projection:
        """The term as a projection; an identity becomes a 1x1 depthwise conv, or a diagonal dense."""
        if self.linear is not None:
            return replace(self.linear, source=self.source, sum_pool=self.pool)
        if len(self.shape) == 1:
            return Projection(self.source, np.diag(self.scale))
        return Projection(
            self.source, self.scale.reshape(-1, 1, 1, 1), groups=self.shape[0], sum_pool=self.pool
        )  # fmt: skip


@dataclass(frozen=True)
class _Expression:
    """Sum of `terms` + `bias`. natural: the shape that the terms give; shape: as the model views it."""

    terms: tuple[_Term, ...]
    bias: np.ndarray
    natural: Shape
    shape: Shape
    label: str = ""
    nonnegative: bool = False

    @property
    def population(self) -> str | None:
        """The population that this expression is, unchanged but for its view; None for anything else."""
        if len(self.terms) != 1 or self.bias.any():
            return None
        term = self.terms[0]
        plain = term.pool is None and term.linear is None and bool((term.scale == 1).all())
        return term.source if plain else None


class _Refusal(Exception):
    """Why an operation cannot be converted; the caller adds its name and line."""


def _identity(p: Population, nonnegative: bool) -> _Expression:
    term = _Term(p.name, p.shape, np.ones(p.shape[0]))
    return _Expression((term,), np.zeros(p.shape), p.shape, p.shape, p.name, nonnegative)


def _as_map(e: _Expression) -> None:
    if len(e.shape) != 3 or e.shape != e.natural:
        raise _Refusal(f"it needs a map (C, H, W) and gets a view of shape {e.shape}; keep maps as maps until the linear layer")


def _map_bias(e: _Expression, f: Callable[[np.ndarray], np.ndarray], shape: Shape) -> np.ndarray:
    return f(e.bias[None])[0] if e.bias.any() else np.zeros(shape)


def _conv(e: _Expression, linear: Projection, bias: np.ndarray | None, label: str) -> _Expression:
    _as_map(e)
    if e.shape[0] != linear.weight.shape[1] * linear.groups:
        raise _Refusal(f"it takes {linear.weight.shape[1] * linear.groups} channels and gets {e.shape[0]}")
    terms = tuple(replace(t, linear=_after_scale(t, linear), scale=np.ones(t.shape[0])) for t in e.terms)
    shape = linear.output_shape(e.shape)
    mapped = _map_bias(e, linear, shape)
    if bias is not None:
        mapped = mapped + bias[:, None, None]
    return _Expression(terms, mapped, shape, shape, label)


def _dense(e: _Expression, weight: np.ndarray, bias: np.ndarray | None, label: str) -> _Expression:
    if len(e.shape) != 1:
        raise _Refusal(f"a linear layer on a map of shape {e.shape} is not supported; flatten before it")
    linear = Projection("", weight)
    terms = tuple(replace(t, linear=_after_scale(t, linear), scale=np.ones(t.shape[0])) for t in e.terms)
    mapped = _map_bias(e, linear, (weight.shape[0],))
    if bias is not None:
        mapped = mapped + bias
    return _Expression(terms, mapped, mapped.shape, mapped.shape, label)


def _after_scale(t: _Term, linear: Projection) -> Projection:
    """`linear` applied to the term's scaled (pooled) source."""
    if t.linear is not None:
        raise _Refusal("it follows another linear layer with no ReLU between; fuse the two, or put a ReLU between them")
    if (t.scale == 1).all():
        return linear
    if linear.is_conv:
        rows = np.repeat(t.scale.reshape(linear.groups, -1), linear.weight.shape[0] // linear.groups, axis=0)
        return replace(linear, weight=linear.weight * rows[:, :, None, None])
    per_feature = np.repeat(t.scale, linear.weight.shape[1] // len(t.scale))
    return replace(linear, weight=linear.weight * per_feature)


def _scale(e: _Expression, factor: np.ndarray, shift: np.ndarray) -> _Expression:
    """factor * e + shift, per channel: batch norm."""
    if e.shape != e.natural and any(n != 1 for n in e.natural[1:]):
        raise _Refusal("batch norm on flattened maps is not supported; put it before the flatten")
    columns = (-1, *(1,) * (len(e.natural) - 1))
    terms = tuple(_scaled_term(t, factor) for t in e.terms)
    return replace(e, terms=terms, bias=e.bias * factor.reshape(columns) + shift.reshape(columns), nonnegative=False)


def _scaled_term(t: _Term, factor: np.ndarray) -> _Term:
    if t.linear is None:
        return replace(t, scale=t.scale * factor)
    weight = t.linear.weight
    return replace(t, linear=replace(t.linear, weight=weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))))


def _average(e: _Expression, window: Window) -> _Expression:
    _as_map(e)
    size = window.output_size((e.shape[1], e.shape[2]))
    shape = (e.shape[0], *size)
    area = window.kernel[0] * window.kernel[1]
    if any(t.linear is not None or t.pool is not None for t in e.terms):
        raise _Refusal("an average pool of a linear layer's output, with no ReLU between, is not supported; put a ReLU between them")
    terms = tuple(replace(t, pool=window, scale=t.scale / area) for t in e.terms)
    bias = _map_bias(e, lambda b: sum_pool(b, window) / area, shape)
    return _Expression(terms, bias, shape, shape, e.label, e.nonnegative)


def _add(a: _Expression, b: _Expression) -> _Expression:
    if a.natural != b.natural or a.shape != b.shape:
        raise _Refusal(f"it adds shapes {a.shape} and {b.shape}; broadcasting between populations is not supported")
    label = a.label if any(t.linear is not None for t in a.terms) else b.label
    return replace(a, terms=a.terms + b.terms, bias=a.bias + b.bias, label=label, nonnegative=a.nonnegative and b.nonnegative)


def _subsample(e: _Expression, steps: Pair) -> _Expression:
    """Every steps-th row and column: the stride of each term's conv, multiplied."""
    _as_map(e)
    terms = tuple(_with_conv(t) for t in e.terms)
    strided = tuple(
        replace(t, linear=replace(t.linear, stride=(t.linear.stride[0] * steps[0], t.linear.stride[1] * steps[1])))
        for t in terms if t.linear is not None
    )  # fmt: skip
    bias = e.bias[:, :: steps[0], :: steps[1]]
    return replace(e, terms=strided, bias=bias, natural=bias.shape, shape=bias.shape)


def _pad_channels(e: _Expression, before: int, after: int) -> _Expression:
    """Zero channels in front and behind: zero rows in each term's weight."""
    _as_map(e)
    terms = []
    for t in map(_with_conv, e.terms):
        assert t.linear is not None
        weight = _ungrouped(t.linear)
        weight = np.pad(weight, ((before, after), (0, 0), (0, 0), (0, 0)))
        terms.append(replace(t, linear=replace(t.linear, weight=weight, groups=1)))
    bias = np.pad(e.bias, ((before, after), (0, 0), (0, 0)))
    return replace(e, terms=tuple(terms), bias=bias, natural=bias.shape, shape=bias.shape)


def _with_conv(t: _Term) -> _Term:
    return t if t.linear is not None else replace(t, linear=t.projection(), scale=np.ones(t.shape[0]))


def _ungrouped(linear: Projection) -> np.ndarray:
    """The weight (O, I, ky, kx) of the same conv with groups = 1."""
    outputs, inputs, *kernel = linear.weight.shape
    full = np.zeros((outputs, inputs * linear.groups, *kernel))
    for o in range(outputs):
        g = o // (outputs // linear.groups)
        full[o, g * inputs : (g + 1) * inputs] = linear.weight[o]
    return full


# ---------------------------------------------------------------- the walk over the traced graph


def _pair(values: Any) -> Pair:
    values = [values] if isinstance(values, int) else list(values)
    return (int(values[0]), int(values[-1]))


def _ceil_extra(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Extra border at the far end that makes floor give torch's ceil-mode size."""
    reach = size + 2 * padding - dilation * (kernel - 1) - 1
    outputs = -(-reach // stride) + 1
    if (outputs - 1) * stride >= size + padding:  # a window may not begin in the far border
        outputs -= 1
    return max(0, (outputs - 1) * stride - reach)


class _Lowering:
    """One pass over the nodes; `value` holds what each node means."""

    def __init__(self, exported: Any, input_shape: Shape) -> None:
        self.nodes = list(exported.graph_module.graph.nodes)
        self.populations: list[Population] = [Input("input", input_shape)]
        self.value: dict[Any, Any] = {}
        self.parameter: dict[Any, str] = {}
        self._bind_inputs(exported)

    def _bind_inputs(self, exported: Any) -> None:
        signature = exported.graph_signature
        named = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        constants = dict(getattr(signature, "inputs_to_lifted_tensor_constants", {}))
        tensors = {**exported.state_dict, **dict(getattr(exported, "constants", {}))}
        for node in self.nodes:
            if node.op != "placeholder":
                continue
            name = named.get(node.name) or constants.get(node.name)
            if name is None:
                self.value[node] = _identity(self.populations[0], nonnegative=False)
            else:
                self.value[node] = tensors[name].detach().cpu().double().numpy()
                self.parameter[node] = name

    def graph(self) -> AnalogGraph:
        for node in self.nodes:
            if node.op == "call_function":
                self.value[node] = self._call(node)
            elif node.op == "output":
                self._read_out(node)
        return AnalogGraph(_without_unread(self.populations))

    def _call(self, node: Any) -> Any:
        if node.target is operator.getitem:
            if node.args[1] != 0:
                raise self._refused(node, "only the first result of the operation before it is supported")
            return self.value[node.args[0]]
        name = getattr(node.target, "_overloadpacket", node.target)
        operation = _OPERATIONS.get(str(name))
        if operation is None:
            raise self._refused(
                node, "it has no exact meaning as spiking populations; replace it by ReLU, conv, linear, batch norm, pooling or addition"
            )
        try:
            arguments = inspect.signature(operation).bind(self, node, *node.args, **node.kwargs)
        except TypeError as error:
            raise self._refused(node, f"this form of it is not supported ({error})") from None
        try:
            return operation(*arguments.args, **arguments.kwargs)
        except _Refusal as reason:
            raise self._refused(node, str(reason)) from None

    def _refused(self, node: Any, reason: str) -> UnsupportedModel:
        return UnsupportedModel(f"{node.target} at {_line(node)}: {reason}")

    def label(self, parameter: Any, node: Any) -> str:
        """The name of the layer that owns `parameter`, else of the node."""
        return self.parameter.get(parameter, f"{node.name}.weight").rsplit(".", 1)[0]

    def expression(self, node: Any) -> _Expression:
        value = self.value.get(node)
        if not isinstance(value, _Expression):
            raise _Refusal("it takes a constant where a feature map is expected")
        return value

    def array(self, node: Any) -> np.ndarray | None:
        if node is None:
            return None
        value = self.value.get(node)
        if not isinstance(value, np.ndarray):
            raise _Refusal("its weights depend on the input")
        return value

    def rectify(self, e: _Expression, node: Any) -> _Expression:
        """The population relu(e); `e` itself where it cannot be negative."""
        if e.nonnegative and e.population is not None:
            return e
        p = Rectifier(self._unique(e.label or node.name), e.natural, tuple(t.projection() for t in e.terms), _compact(e.bias))
        self.populations.append(p)
        return replace(_identity(p, nonnegative=True), shape=e.shape)

    def max_pool(self, e: _Expression, window: Window, node: Any) -> _Expression:
        _as_map(e)
        if e.population is None:  # ReLU and max-pool commute: the pool moves behind its ReLU
            if not _only_rectified(node):
                raise _Refusal("a max-pool of a linear layer's output needs a ReLU before or behind it")
            e = self.rectify(e, node)
        assert e.population is not None
        shape = (e.shape[0], *window.output_size((e.shape[1], e.shape[2])))
        p = MaxPool(self._unique(f"{e.label}.pool"), shape, e.population, window)
        self.populations.append(p)
        return _identity(p, e.nonnegative)

    def _unique(self, name: str) -> str:
        taken = {p.name for p in self.populations}
        if name not in taken:
            return name
        return next(f"{name}.{i}" for i in range(2, len(taken) + 3) if f"{name}.{i}" not in taken)

    def _read_out(self, node: Any) -> None:
        outputs = node.args[0]
        if len(outputs) != 1 or not isinstance(self.value.get(outputs[0]), _Expression):
            raise UnsupportedModel(f"forward returns {len(outputs)} values; return one tensor computed from the input")
        e = self.value[outputs[0]]
        name = self._unique(e.label if e.population is None else "readout")
        self.populations.append(ReadOut(name, e.natural, tuple(t.projection() for t in e.terms), _compact(e.bias)))


def _without_unread(populations: list[Population]) -> tuple[Population, ...]:
    """Populations that lead to the read-out."""
    needed = {populations[0].name, populations[-1].name}
    for p in reversed(populations):
        if p.name in needed:
            needed.update(sources(p))
    return tuple(p for p in populations if p.name in needed)


def _compact(bias: np.ndarray) -> np.ndarray:
    """(C, 1, 1) where a map is constant over positions."""
    if bias.ndim == 3 and (bias == bias[:, :1, :1]).all():
        return bias[:, :1, :1]
    return bias


def _only_rectified(node: Any) -> bool:
    users = [u for user in node.users for u in (user.users if user.target is operator.getitem else [user])]
    return bool(users) and all(_is_relu(user) for user in users)


def _is_relu(node: Any) -> bool:
    name = str(getattr(node.target, "_overloadpacket", node.target))
    return name in ("aten.relu", "aten.relu_") or (name in ("aten.clamp", "aten.clamp_min") and _clamps_at_zero(node))


def _clamps_at_zero(node: Any) -> bool:
    low = node.args[1] if len(node.args) > 1 else node.kwargs.get("min")
    high = node.args[2] if len(node.args) > 2 else node.kwargs.get("max")
    return low == 0 and high is None


def _line(node: Any) -> str:
    """`file:line: code` of the user's forward, from the trace."""
    frames = [f.strip().splitlines() for f in (node.meta.get("stack_trace") or "").split('File "')[1:]]
    if not frames:
        return "an unknown line"
    mine = [f for f in frames if "/torch/" not in f[0]] or frames
    path, line = mine[-1][0].split('", line ')
    code = mine[-1][1].strip() if len(mine[-1]) > 1 else ""
    return f"{path}:{line.split(',')[0]} `{code}`"


# ---------------------------------------------------------------- what each ATen operation means


def _op_conv(
    low: _Lowering, node: Any, x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, transposed: bool = False, output_padding: Any = 0, groups: int = 1,
) -> _Expression:  # fmt: skip
    if transposed:
        raise _Refusal("transposed convolution is not supported")
    kernel = low.array(weight)
    assert kernel is not None
    if kernel.ndim != 4:
        raise _Refusal(f"a convolution over {kernel.ndim - 2} axes is not supported; use conv2d")
    (py, px) = _pair(padding)
    linear = Projection("", kernel, _pair(stride), ((py, py), (px, px)), _pair(dilation), groups)
    return _conv(low.expression(x), linear, low.array(bias), low.label(weight, node))


def _op_conv2d(
    low: _Lowering, node: Any, x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> _Expression:  # fmt: skip
    if isinstance(padding, str):
        raise _Refusal(f"padding={padding!r} is not supported; give the padding in pixels")
    return _op_conv(low, node, x, weight, bias, stride, padding, dilation, False, 0, groups)


def _op_linear(low: _Lowering, node: Any, x: Any, weight: Any, bias: Any = None) -> _Expression:
    matrix = low.array(weight)
    assert matrix is not None
    return _dense(low.expression(x), matrix, low.array(bias), low.label(weight, node))


def _op_transpose(low: _Lowering, node: Any, x: Any, *axes: Any) -> Any:
    value = low.value[x]
    if not isinstance(value, np.ndarray):
        raise _Refusal("a transpose of feature maps is not supported; remove it")
    if x in low.parameter:
        low.parameter[node] = low.parameter[x]
    return value.T if not axes or value.ndim == 2 else value.transpose(axes[0])


def _op_addmm(low: _Lowering, node: Any, bias: Any, x: Any, weight: Any, beta: Any = 1, alpha: Any = 1) -> _Expression:
    if (beta, alpha) != (1, 1):
        raise _Refusal("a scaled addmm is not supported")
    matrix = low.array(weight)
    assert matrix is not None
    return _dense(low.expression(x), np.ascontiguousarray(matrix.T), low.array(bias), low.label(weight, node))


def _op_mm(low: _Lowering, node: Any, x: Any, weight: Any) -> _Expression:
    matrix = low.array(weight)
    assert matrix is not None
    return _dense(low.expression(x), np.ascontiguousarray(matrix.T), None, low.label(weight, node))


def _op_batch_norm(low: _Lowering, node: Any, x: Any, weight: Any, bias: Any, mean: Any, var: Any, *rest: Any) -> _Expression:
    """torch: (..., training, momentum, eps, cudnn) or, decomposed, (..., momentum, eps)."""
    floats = [r for r in rest if isinstance(r, float)]
    if any(r is True for r in rest[:1]):
        raise _Refusal("batch norm in training mode needs batch statistics; call eval() before")
    mu, sigma2 = low.array(mean), low.array(var)
    if mu is None or sigma2 is None:
        raise _Refusal("batch norm without running statistics needs the batch; track_running_stats=True is needed")
    if (sigma2 + floats[-1] <= 0).any():
        raise _Refusal("its running variance is negative; load sound weights")
    gamma, beta = low.array(weight), low.array(bias)
    factor = (1.0 if gamma is None else gamma) / np.sqrt(sigma2 + floats[-1])
    shift = (0.0 if beta is None else beta) - mu * factor
    return _scale(low.expression(x), factor, shift)


def _op_relu(low: _Lowering, node: Any, x: Any) -> _Expression:
    return low.rectify(low.expression(x), node)


def _op_clamp(low: _Lowering, node: Any, x: Any, *_: Any, **__: Any) -> _Expression:
    if not _clamps_at_zero(node):
        raise _Refusal("only clamp(min=0) is a ReLU; a clamp with another bound is not supported")
    return low.rectify(low.expression(x), node)


def _op_max_pool(
    low: _Lowering, node: Any, x: Any, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> _Expression:
    e = low.expression(x)
    _as_map(e)
    k, p, d = _pair(kernel), _pair(padding), _pair(dilation)
    s = _pair(stride) if stride else k
    extra = [_ceil_extra(e.shape[i + 1], k[i], s[i], p[i], d[i]) if ceil_mode else 0 for i in range(2)]
    return low.max_pool(e, Window(k, s, ((p[0], p[0] + extra[0]), (p[1], p[1] + extra[1])), d), node)


def _op_avg_pool(
    low: _Lowering, node: Any, x: Any, kernel: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor: Any = None,
) -> _Expression:  # fmt: skip
    k, p = _pair(kernel), _pair(padding)
    if ceil_mode or divisor is not None or (not count_include_pad and p != (0, 0)):
        raise _Refusal("average pooling with ceil_mode, divisor_override or count_include_pad=False over a border is not supported")
    return _average(low.expression(x), Window(k, _pair(stride) if stride else k, ((p[0], p[0]), (p[1], p[1]))))


def _op_adaptive(low: _Lowering, node: Any, x: Any, size: Any) -> _Expression:
    e, out = low.expression(x), _pair(size)
    _as_map(e)
    if e.shape[1] % out[0] or e.shape[2] % out[1]:
        raise _Refusal(f"adaptive pooling from {e.shape[1:]} to {out} does not divide; use another input size")
    k = (e.shape[1] // out[0], e.shape[2] // out[1])
    return e if k == (1, 1) else _average(e, Window(k, k))


def _op_mean(low: _Lowering, node: Any, x: Any, axes: Any, keepdim: bool = False) -> _Expression:
    e = low.expression(x)
    _as_map(e)
    if sorted(a % 4 for a in axes) != [2, 3]:
        raise _Refusal(f"a mean over axes {list(axes)} is not supported; only the two spatial axes together")
    pooled = _average(e, Window((e.shape[1], e.shape[2]), (1, 1)))
    return pooled if keepdim else replace(pooled, shape=(e.shape[0],))


def _op_add(low: _Lowering, node: Any, a: Any, b: Any, alpha: Any = 1) -> _Expression:
    if alpha != 1:
        raise _Refusal("a scaled addition is not supported")
    return _add(low.expression(a), low.expression(b))


def _op_view(low: _Lowering, node: Any, x: Any, *_: Any, **__: Any) -> Any:
    value = low.value[x]
    if isinstance(value, np.ndarray):
        return value.reshape(tuple(node.meta["val"].shape))
    batch, *shape = node.meta["val"].shape
    e = low.expression(x)
    flat = (int(np.prod(e.natural)),)
    if batch != 2 or tuple(shape) not in (flat, e.natural):
        raise _Refusal(f"a view from {e.shape} to {tuple(shape)} is not supported; only flatten to one axis per image")
    return replace(e, shape=tuple(shape))


def _op_slice(low: _Lowering, node: Any, x: Any, axis: int = 0, start: Any = None, stop: Any = None, step: int = 1) -> _Expression:
    e = low.expression(x)
    length = (2, *e.shape)[axis]
    if (start or 0) != 0 or (stop is not None and stop < length):
        raise _Refusal(f"a slice {start}:{stop} of an axis of length {length} is not supported; only steps over the whole axis")
    if step == 1:
        return e
    if axis not in (2, 3):
        raise _Refusal("a strided slice of channels or images is not supported")
    return _subsample(e, (step, 1) if axis == 2 else (1, step))


def _op_pad(low: _Lowering, node: Any, x: Any, pads: Any, value: Any = 0) -> _Expression:
    borders = [(pads[i], pads[i + 1]) for i in range(0, len(pads), 2)]  # last axis first
    if value != 0 or len(borders) > 3 or any(b != (0, 0) for b in borders[:2]):
        raise _Refusal("only zero channels can be padded; give spatial padding to the convolution")
    return _pad_channels(low.expression(x), *(borders[2] if len(borders) == 3 else (0, 0)))


def _op_same(low: _Lowering, node: Any, x: Any, *_: Any, **__: Any) -> Any:
    if x in low.parameter:
        low.parameter[node] = low.parameter[x]
    return low.value[x]


def _op_dropout(low: _Lowering, node: Any, x: Any, p: float, train: bool) -> _Expression:
    if train:
        raise _Refusal("dropout in training mode is random; use nn.Dropout, or pass training=self.training")
    return low.expression(x)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "aten.convolution": _op_conv, "aten.conv2d": _op_conv2d,
    "aten.linear": _op_linear, "aten.addmm": _op_addmm, "aten.mm": _op_mm,
    "aten.t": _op_transpose, "aten.permute": _op_transpose, "aten.transpose": _op_transpose,
    "aten._native_batch_norm_legit_no_training": _op_batch_norm, "aten.batch_norm": _op_batch_norm,
    "aten.relu": _op_relu, "aten.relu_": _op_relu, "aten.clamp": _op_clamp, "aten.clamp_min": _op_clamp,
    "aten.max_pool2d_with_indices": _op_max_pool, "aten.max_pool2d": _op_max_pool,
    "aten.avg_pool2d": _op_avg_pool, "aten._adaptive_avg_pool2d": _op_adaptive,
    "aten.adaptive_avg_pool2d": _op_adaptive, "aten.mean": _op_mean,
    "aten.add": _op_add, "aten.add_": _op_add,
    "aten.view": _op_view, "aten.reshape": _op_view, "aten._unsafe_view": _op_view, "aten.flatten": _op_view,
    "aten.squeeze": _op_view, "aten.unsqueeze": _op_view,
    "aten.slice": _op_slice, "aten.constant_pad_nd": _op_pad, "aten.pad": _op_pad,
    "aten.clone": _op_same, "aten.alias": _op_same, "aten.detach": _op_same, "aten.contiguous": _op_same,
    "aten.lift_fresh_copy": _op_same, "aten.dropout": _op_dropout,
}  # fmt: skip

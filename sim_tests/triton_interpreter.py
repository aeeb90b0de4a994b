"""Triton without a device: its compiler alone, and what version 2.3's interpreter lacks of later ones."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np


def mend() -> None:
    """Names of types; products of 8-bit integers in the dtype of their sums, where version 2.3 sums in 8
    bits; x[:, None]; and sums of a whole vector."""
    import triton.language as tl
    from triton.language import semantic
    from triton.runtime import interpreter

    builder, handle = interpreter.Builder, interpreter.TensorHandle
    types = {f"int{bits}": getattr(tl, f"int{bits}") for bits in (1, 8, 16, 32, 64)}
    types.update(uint8=tl.uint8, float=tl.float32, double=tl.float64)
    for name, kind in types.items():
        setattr(builder, f"get_{name}_ty", lambda self, kind=kind: kind)
    builder.get_block_ty = lambda self, kind, shape: kind
    builder.options = SimpleNamespace(allow_fp8e4nv=True)
    of_numpy = builder.np_dtype
    builder.np_dtype = lambda self, kind: np.dtype(bool) if kind is tl.int1 else of_numpy(self, kind)
    builder.create_dot = lambda self, a, b, d, *_: handle(
        np.matmul(a.data, b.data, dtype=d.data.dtype) + d.data, d.dtype
    )
    language, tensors = interpreter._patch_lang_core, interpreter._patch_lang_tensor

    def item(x: Any, slices: tuple[slice | None, ...]) -> Any:
        for axis, part in enumerate(slices):
            x = x if part is not None else semantic.expand_dims(x, axis, interpreter.builder)
        return x

    def reduced(x: Any, axis: int, combine: Any) -> Any:
        assert combine.fn.__name__ == "_sum_combine"
        total = np.sum(x.handle.data, axis=axis, dtype=x.handle.data.dtype)
        kind = tl.block_type(x.dtype, total.shape) if total.shape else x.dtype
        return tl.tensor(handle(np.atleast_1d(total), x.dtype), kind)

    def patched_language(lang: Any, own: Any) -> None:
        language(lang, own)
        lang.reduce = reduced

    def patched_tensors(tensor: Any, own: Any) -> None:
        tensors(tensor, own)
        tensor.__getitem__ = item

    interpreter._patch_lang_math = lambda lang, own: None  # which overwrites even the module's __file__
    interpreter._patch_lang_core, interpreter._patch_lang_tensor = patched_language, patched_tensors


def compiled_for(card: int, kernel: Any, types: dict[str, str], constants: dict[str, Any]) -> str:
    """A kernel in PTX, assembled too, for a card of the compute capability `card` / 10. types: of its
    arguments, others are int32."""
    import triton
    from triton.compiler import ASTSource

    names = kernel.arg_names
    free = {name: types.get(name, "i32") for name in names if name not in constants}
    at = {names.index(name): value for name, value in constants.items()}
    target: Any = ("cuda", card)
    if triton.__version__ < "3":
        _without_launchers()
        source = ASTSource(
            fn=kernel, signature={names.index(name): kind for name, kind in free.items()}, constants=at
        )
    else:
        from triton.backends.compiler import GPUTarget

        target = GPUTarget("cuda", card, 32)
        if "constants" in inspect.signature(ASTSource).parameters:
            source = ASTSource(fn=kernel, signature=free, constants=constants)
        else:
            signature = {name: free.get(name, "constexpr") for name in names}
            source = ASTSource(
                fn=kernel, signature=signature, constexprs={(i,): value for i, value in at.items()}
            )
    made = triton.compile(source, target=target)
    assert made.asm["cubin"]
    return str(made.asm["ptx"])


def _without_launchers() -> None:
    """Version 2.3 builds with each kernel what launches it, which needs the driver's library."""
    from triton.compiler import compiler
    from triton.compiler.backends.cuda import CUDABackend

    class Files:
        def __init__(self, _: object, metadata: str) -> None:
            path = Path(metadata)
            files = {file.suffix[1:]: file for file in path.parent.glob(f"{path.stem}.*")}
            self.asm = {"ptx": files["ptx"].read_text(), "cubin": files["cubin"].read_bytes()}

    CUDABackend.make_launcher_stub = lambda self, source, metadata: None
    compiler.CompiledKernel = Files

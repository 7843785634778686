"""A card that is not there: tensors that say `cuda` and keep their values in the CPU's memory.

Within `card()` everything that is moved to or made on `cuda` becomes an `OnCard` tensor. Operations are computed by the
CPU's kernels, so values and control flow are real, but what a card refuses is refused: an operation on tensors of
both devices, and a numpy array of a tensor on the card.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

CUDA = torch.device("cuda", 0)
MEMORY = 80 << 30
"""Bytes that PyTorch is told the card has."""

MOVES = {torch.ops.aten._to_copy, torch.ops.aten.copy_, torch.ops.aten.copy}
"""Operations that may see both devices."""
INDEXED = {torch.ops.aten.index, torch.ops.aten.index_put_, torch.ops.aten.index_put, torch.ops.aten._index_put_impl_}
"""Operations whose indices may stay on the CPU."""


class OnCard(torch.Tensor):
    """A tensor on the card; `inner` holds its values, on the CPU. A sparse one passes for a full one of its shape."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor):
        dense = inner if inner.layout is torch.strided else torch.empty(inner.shape, device="meta")
        found = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=dense.stride(), storage_offset=dense.storage_offset(), dtype=inner.dtype,
            device="meta", dispatch_device=True, requires_grad=inner.requires_grad,
        )  # fmt: skip
        found.inner = inner.detach()
        return found

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"OnCard({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), named=None):
        return _operate(function, arguments, named or {})


def _operate(function, arguments: tuple, named: dict) -> Any:
    """One operation that gives a tensor on the card, or takes one: refused, or computed by the CPU."""
    packet = function.overloadpacket
    if packet is torch.ops.prim.device:
        return CUDA
    if packet not in MOVES:
        _refuse_mix(packet, arguments, named)
    if packet is torch.ops.aten._fused_sdp_choice:
        return 0  # attention by plain products, which the CPU has too
    named = dict(named)
    target = torch.device(named["device"]) if named.get("device") is not None else CUDA
    if "device" in named:
        named["device"] = torch.device("cpu")
    answer = function(*tree_map(_inner, arguments), **tree_map(_inner, named))
    if function._schema.is_mutable and _changes_first(function):
        return arguments[0]
    return tree_map(_outer, answer) if target.type == "cuda" else answer


def _changes_first(function) -> bool:
    first = function._schema.arguments[0]
    return first.alias_info is not None and first.alias_info.is_write


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, OnCard) else value


def _outer(value: Any) -> Any:
    return OnCard(value) if isinstance(value, torch.Tensor) and not isinstance(value, OnCard) else value


def _refuse_mix(packet, arguments, named) -> None:
    """Raise as a card does; single values of the CPU may take part everywhere, indices where they index."""
    if packet in INDEXED:
        arguments = (arguments[0], *arguments[2:])
    tensors = [value for value in tree_flatten((arguments, named))[0] if isinstance(value, torch.Tensor)]
    cards = [value for value in tensors if isinstance(value, OnCard)]
    strangers = [value for value in tensors if not isinstance(value, OnCard) and value.ndim]
    if cards and strangers:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but {packet} got {tuple(cards[0].shape)} on cuda:0 and "
            f"{tuple(strangers[0].shape)} on cpu"
        )


def _got(tensor: OnCard, where: Any) -> OnCard:
    return OnCard(tensor.inner[tree_map(_inner, where)])


def _set(tensor: OnCard, where: Any, value: Any) -> None:
    by_tensors = any(isinstance(part, torch.Tensor) for part in (where if isinstance(where, tuple) else (where,)))
    if by_tensors:
        _refuse_mix("index_put_", (tensor, value), {})
    tensor.inner[tree_map(_inner, where)] = _inner(value)


def _no_array(tensor: OnCard, *_) -> None:
    raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")


GUARDED = {
    torch.Tensor.__getitem__: _got,
    torch.Tensor.__setitem__: _set,
    torch.Tensor.numpy: _no_array,
    torch.Tensor.__array__: _no_array,
    torch.Tensor.tolist: lambda tensor: tensor.inner.tolist(),
}
ABSENT = "not linked with support for cuda", "no NVIDIA driver", "no CUDA-capable device"


class _Card(TorchFunctionMode):
    """Moves to the card, and makes on it, what is asked for there."""

    def __torch_function__(self, function, types, arguments=(), named=None):
        named = dict(named or {})
        if function is torch.Tensor.cuda:
            return _outer(arguments[0])
        if function is torch.Tensor.to:
            return self._moved(arguments, named)
        if function is torch.Tensor.copy_:
            _inner(arguments[0]).copy_(*map(_inner, arguments[1:]))
            return arguments[0]
        if function in GUARDED and isinstance(arguments[0], OnCard):
            return GUARDED[function](*arguments, **named)
        device = named.get("device")
        if device is not None and _is_cuda(device):
            named["device"] = "cpu"
            if named.get("generator") is not None:
                raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
            return tree_map(_outer, function(*tree_map(_inner, arguments), **named))
        try:
            return function(*arguments, **named)
        except RuntimeError as error:  # some methods first switch to the tensor's device, which is not there
            if not any(text in str(error) for text in ABSENT):
                raise
        _refuse_mix(function, arguments, named)
        return tree_map(_outer, function(*tree_map(_inner, arguments), **tree_map(_inner, named)))

    @staticmethod
    def _moved(arguments, named):
        """`Tensor.to` in its three forms: a device, a type or another tensor, each perhaps with more."""
        tensor, *rest = arguments
        like = next((value for value in [*rest, *named.values()] if isinstance(value, torch.Tensor)), None)
        if like is not None:
            rest, named = [like.device, like.dtype], {}
        places = [value for value in [*rest, named.get("device")] if isinstance(value, (str, torch.device))]
        if not places or not (_is_cuda(places[0]) or isinstance(tensor, OnCard)):
            return tensor.to(*rest, **named)
        kind = next((value for value in [*rest, named.get("dtype")] if isinstance(value, torch.dtype)), tensor.dtype)
        inner = tensor.inner if isinstance(tensor, OnCard) else tensor
        moved = inner.to(kind, copy=bool(named.get("copy")))
        return _outer(moved) if _is_cuda(places[0]) else moved


class _Factories(TorchDispatchMode):
    """Makes on the card what a library's own code makes there."""

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        named = named or {}
        return _operate(function, arguments, named) if _is_cuda(named.get("device")) else function(*arguments, **named)


def _is_cuda(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


class _Event:
    """A moment on the card, which does everything at once."""

    def __init__(self, **_):
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def elapsed_time(self, later: _Event) -> float:
        return 1000 * (later.at - self.at)


FACTS: dict[str, Any] = {
    "is_available": lambda: True,
    "is_bf16_supported": lambda *_: True,
    "mem_get_info": lambda *_: (MEMORY, MEMORY),
    "max_memory_allocated": lambda *_: 0,
    "max_memory_reserved": lambda *_: 0,
    "reset_peak_memory_stats": lambda *_: None,
    "empty_cache": lambda: None,
    "synchronize": lambda *_: None,
    "Event": _Event,
}
"""What PyTorch is told of the card."""


@contextlib.contextmanager
def card() -> Iterator[torch.device]:
    """The time in which there is a card; gives its device."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with mock.patch.multiple(torch.cuda, **FACTS), _Card(), _Factories():
            yield CUDA
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)

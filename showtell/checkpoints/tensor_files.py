"""Read untrusted tensor files, without running code or allocating more than they contain."""

from __future__ import annotations

import errno
import math
import pickle
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

MAX_HEADER_BYTES: Final = 8 * 2**20
"""Size of the largest safetensors header that is read; that of a model with 10,000 words has 0.2 MB."""
_FORMATS: Final = frozenset({"F64", "F32", "F16", "BF16", "I64"})
"""Number formats of weights, and of batch-norm's counters."""
_LENGTH: Final = struct.Struct("<Q")


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read a safetensors file; its tensors are mapped from the disk.

    Returns:
        The metadata of its header, and its tensors by name.

    Raises:
        ValueError: it is damaged, its header is too large, or a tensor is of an unusual number format.
        OSError: it cannot be read, or is no regular file.
    """
    if not path.is_file():  # a folder, a named pipe, a device
        raise FileNotFoundError(errno.ENOENT, "no such file, or not a regular one", str(path))
    with path.open("rb") as file:
        start = file.read(_LENGTH.size)
    if len(start) == _LENGTH.size and _LENGTH.unpack(start)[0] > MAX_HEADER_BYTES:
        raise ValueError(f"its header claims more than {MAX_HEADER_BYTES:,} bytes")
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            names = list(file.keys())
            formats = {name: file.get_slice(name).get_dtype() for name in names}
            if odd := [name for name in names if formats[name] not in _FORMATS]:
                raise ValueError(f"{min(odd)} is of the number format {formats[min(odd)]}")
            return metadata, {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def read_pickled(path: Path) -> Any:
    """Read tensors and plain values that `torch.save` wrote, without running code.

    Raises:
        ValueError: it is damaged, compressed, holds other objects, or a tensor that is larger than its data.
        OSError: it cannot be read, or is no regular file.
    """
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file, or not a regular one", str(path))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise ValueError("it is compressed, which torch.save does not do")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:  # PyTorch's message advises to load it unsafely
        raise ValueError("it is damaged, or holds more than tensors and plain values") from error
    except Exception as error:  # a damaged file can raise about anything inside the unpickler
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise ValueError(f"it is damaged: {reason}") from error
    if any(_is_larger_than_its_data(tensor) for tensor in _tensors_of(content)):
        raise ValueError("a tensor is larger than its data")
    return content


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Name of a tensor with a value that is infinite or not a number; None if all are finite.

    The variance of a batch norm may be infinite: one that is too large for fp16 (as in the included encoder)
    makes the channel constant, and no output infinite.
    """
    return next((name for name, tensor in tensors.items() if not _is_finite(name, tensor)), None)


def _is_finite(name: str, tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    low, high = (float(bound) for bound in tensor.aminmax())  # isfinite takes ten times as long
    if name.endswith("running_var"):
        return low > -math.inf
    return math.isfinite(low) and math.isfinite(high)


def misfit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """How tensors differ in names or shapes from what is expected, in a few words; None if they do not.

    Args:
        tensors: by name.
        expected: of the module that is to get them, which may have been made on the device `meta`.
    """
    if missing := expected.keys() - tensors.keys():
        return f"weights are missing, {min(missing)} among them"
    if more := tensors.keys() - expected.keys():
        return f"there are weights that it does not have, {min(more)} among them"
    for name in sorted(expected):
        shape, wanted = tuple(tensors[name].shape), tuple(expected[name].shape)
        if shape != wanted:
            return f"{name} is of the shape {shape} instead of {wanted}"
    return None


def _tensors_of(value: object) -> Iterable[Tensor]:
    waiting, seen = [value], set[int]()
    while waiting:
        each = waiting.pop()
        if isinstance(each, Tensor):
            yield each
        elif isinstance(each, dict | list | tuple) and id(each) not in seen:
            seen.add(id(each))
            waiting.extend(each.values() if isinstance(each, dict) else each)


def _is_larger_than_its_data(tensor: Tensor) -> bool:
    if tensor.layout != torch.strided or tensor.is_meta:
        return True
    return tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()

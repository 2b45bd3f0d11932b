"""A safetensors file mapped into memory: a tensor of it costs memory from when it is looked at."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.registry.files.reading import open_file

if TYPE_CHECKING:
    from torch import Tensor

LENGTH_BYTES = 8
"""At the start of a safetensors file: the length of the JSON that follows, little-endian."""

_MOST_BYTES = 2**24  # that are looked at before their memory is given back
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "BOOL": "bool",
    "C64": "complex64",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
}


@attrs.define
class Pages:
    """The memory behind mapped tensors, which a reader gives back while it goes through them.

    A call says that a tensor has been looked at. Its values stay what they are in the file.
    """

    maps: list[mmap.mmap] = attrs.Factory(list)
    _seen: int = 0

    def __call__(self, tensor: Tensor) -> None:
        self._seen += tensor.nbytes
        if self._seen >= _MOST_BYTES:
            self.give_back()

    def give_back(self) -> None:
        """Give back the memory of all that was looked at, where the system can do that."""
        self._seen = 0
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapped in self.maps:
                mapped.madvise(mmap.MADV_DONTNEED)


def map_tensors(path: Path, names: Iterable[str], pages: Pages) -> dict[str, Tensor]:
    """The tensors of a safetensors file whose header is known to be right; the map joins `pages`.

    Nobody writes into them: what is written is lost when memory is given back.

    Raises:
        ValueError: there are numbers of a type that torch does not have.
        OSError, LookupError, TypeError: the file is another one by now.
    """
    import torch

    with open_file(path) as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    pages.maps.append(mapped)
    start = LENGTH_BYTES + int.from_bytes(mapped[:LENGTH_BYTES], "little")
    header = json.loads(mapped[LENGTH_BYTES:start])

    def tensor(entry: dict[str, Any]) -> Tensor:
        dtype = getattr(torch, _DTYPES.get(str(entry["dtype"]), ""), None)
        if dtype is None:
            raise ValueError(f"its numbers are of the type {entry['dtype']}, which is not known here")
        (begin, end), shape = entry["data_offsets"], entry["shape"]
        if begin == end:
            return torch.empty(shape, dtype=dtype)
        data = torch.frombuffer(mapped, dtype=torch.uint8, count=end - begin, offset=start + begin)
        if data.data_ptr() % dtype.itemsize:
            data = data.clone()
        return data.view(dtype).view(shape)

    return {name: tensor(header[name]) for name in names}

"""Where weights come from, and how they reach the parts. Only tensors are read: no file can run code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core.errors import GlidepathError
from glidepath.registry.problems import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor, nn

    from glidepath.registry.catalogue import Catalogue
    from glidepath.registry.plan import Address


class WeightsError(GlidepathError):
    """A weights file cannot be found or read, or does not fit the parts."""


def locate(address: Address, catalogue: Catalogue) -> Path:
    """The file of an address, on this machine; a `hub` address is fetched, into huggingface_hub's cache.

    Raises:
        WeightsError: there is no such file, or it is not the one that was meant (sha256).
    """
    if address.scheme == "package":
        package, _, name = address.value.partition("/")
        path = catalogue.package_folder(package) / name
    elif address.scheme == "hub":
        path = _from_hub(address)
    else:
        path = Path(address.value)
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}")
    if address.sha256 and sha256(path) != address.sha256.lower():
        raise WeightsError(f"{path} has sha256 {sha256(path)}, and the spec expects {address.sha256}")
    return path


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; remembered while the file does not change."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _mtime: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a PyTorch file read with weights_only.

    Raises:
        WeightsError: the file is damaged, or holds something else than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        import torch

        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"cannot read weights from {path}: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise WeightsError(f"{path} does not hold a flat mapping of names to tensors (a state dict)")
    return found


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], *, part: str, file: Path) -> None:
    """Load a part's weights, all of them and nothing else, in the module's own precision.

    Raises:
        WeightsError: keys are missing, extra or of another shape; the message names them.
    """
    own = module.state_dict()
    missing = sorted(own.keys() - tensors.keys())
    extra = sorted(tensors.keys() - own.keys())
    shapes = [
        f"{name}: {list(tensors[name].shape)} in the file, {list(own[name].shape)} in the part"
        for name in sorted(own.keys() & tensors.keys())
        if own[name].shape != tensors[name].shape
    ]
    if missing or extra or shapes:
        lines = [f"the weights in {file} do not fit {part}:"]
        for title, names in (
            ("missing", missing),
            ("not known to the part", extra),
            ("of another shape", shapes),
        ):
            if names:
                lines.append(
                    f"    {len(names)} {title}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
                )
        raise WeightsError("\n".join(lines))
    module.load_state_dict(dict(tensors))


def under(
    tensors: Mapping[str, Tensor], slots: Mapping[str, nn.Module], file: Path
) -> dict[str, dict[str, Tensor]]:
    """The tensors of a file that holds several parts, by slot: `denoiser.x` is the denoiser's `x`.

    Raises:
        WeightsError: a key belongs to no slot, or a slot with parameters finds nothing.
    """
    found: dict[str, dict[str, Tensor]] = {slot: {} for slot in slots}
    for name, tensor in tensors.items():
        slot, _, key = name.partition(".")
        if slot not in found:
            known = did_you_mean(slot, found)
            raise WeightsError(
                f"{file} holds {name!r}, and this spec has no part {slot!r} with weights"
                f" (it has {', '.join(sorted(found))}){'; ' + known if known else ''}"
            )
        found[slot][key] = tensor
    return found


def _from_hub(address: Address) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError as error:
        raise WeightsError(
            f"weights hub:{address.value} need huggingface_hub; install it with: pip install 'glidepath[hub]'"
        ) from error
    owner, _, rest = address.value.partition("/")
    name, _, file = rest.partition("/")
    fetch: Callable[..., str] = hf_hub_download
    return Path(fetch(f"{owner}/{name}", file, revision=address.revision))

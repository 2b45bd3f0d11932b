"""Where weights come from, and how they reach the parts. Only tensors are read: no file can run code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.registry.files.tensor_file import WeightsError as WeightsError
from glidepath.registry.files.tensor_file import list_names, read_tensors, require_numbers
from glidepath.registry.plan.address import Address, local_file
from glidepath.registry.text.problems import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor, nn

    from glidepath.registry.discovery.catalogue import Catalogue


def locate_weights(address: Address, catalogue: Catalogue) -> Path:
    """The file of an address, on this machine; a `hub` address is fetched, into huggingface_hub's cache.

    Raises:
        WeightsError: there is no such file, or it is not the one that was meant (sha256).
    """
    path = local_file(address, catalogue) or _from_hub(address)
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}")
    if address.sha256 and file_sha256(path) != address.sha256.lower():
        raise WeightsError(
            f"{path} has sha256 {file_sha256(path)}, and the spec expects {address.sha256}; nothing of it is "
            "used"
        )
    return path


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; remembered while the file does not change."""
    return _sha256(path, _identity(path))


def _identity(path: Path) -> tuple[int, ...]:
    """What changes where a file does or another takes its place: ctime too, which no copy keeps."""
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


@lru_cache(maxsize=64)
def _sha256(path: Path, _identity: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_read_as: dict[Path, tuple[int, ...]] = {}
"""What each file was when it was read."""


def read(address: Address, catalogue: Catalogue) -> tuple[Path, dict[str, Tensor]]:
    """The file of an address, and its tensors: safetensors, or a PyTorch file read with weights_only.

    Raises:
        WeightsError: there is no such file, it is not the one that was meant, is damaged, or was changed
            meanwhile; or it holds something else than tensors.
    """
    file = locate_weights(address, catalogue)
    before = _identity(file)
    tensors = read_tensors(file)
    locate_weights(address, catalogue)  # where another file has taken its place, its sha256 is another
    if _identity(file) != before:
        raise WeightsError(f"{file} was changed while it was read")
    _read_as[file] = before
    return file, tensors


def read_sha256(path: Path) -> str:
    """The SHA-256 of a file as it was when it was last read here, or is now where it was not.

    Raises:
        WeightsError: it has changed since it was read.
    """
    if _read_as.get(path, before := _identity(path)) != before:
        raise WeightsError(f"{path} was changed after it was read: the sha256 of what was read is not known")
    return file_sha256(path)


def load_module(module: nn.Module, tensors: Mapping[str, Tensor], *, part: str, file: Path) -> None:
    """Load a part's weights, all of them and nothing else, in the module's own precision.

    Raises:
        WeightsError: keys are missing, extra or of another shape, or tensors hold integers, NaN or infinite
            values; the message names them.
        PartError: values do not fit the module's precision.
    """
    from glidepath.core.finite import require_finite

    own = module.state_dict()
    missing = sorted(own.keys() - tensors.keys())
    extra = sorted(tensors.keys() - own.keys())
    shapes = [
        f"{name}: {list(tensors[name].shape)} in the file, {list(own[name].shape)} in the part"
        for name in sorted(own.keys() & tensors.keys())
        if own[name].shape != tensors[name].shape
    ]
    if missing or extra or shapes:
        raise WeightsError(_misfit(f"the weights in {file} do not fit {part}", missing, extra, shapes))
    require_numbers(tensors, file, part)
    module.load_state_dict(dict(tensors))
    cast = {name: value for name, value in module.state_dict().items() if value.dtype != tensors[name].dtype}
    require_finite(cast, f"the weights of {part} in {file}")


def under(
    tensors: Mapping[str, Tensor], slots: Collection[str], file: Path, catalogue: Catalogue
) -> dict[str, dict[str, Tensor]]:
    """The tensors of a file that holds several parts, by slot: `denoiser.x` is the denoiser's `x`.

    slots: their names; those of stages, for a file that holds a cascade.

    Raises:
        WeightsError: keys belong to no slot.
    """
    found: dict[str, dict[str, Tensor]] = {slot: {} for slot in slots}
    strangers = []
    for name, tensor in tensors.items():
        slot, _, key = name.partition(".")
        if slot in found:
            found[slot][key] = tensor
        else:
            strangers.append(name)
    if not strangers:
        return found
    if len(strangers) == len(tensors):
        makers = catalogue.weight_makers()
        raise WeightsError(
            f"none of the {len(tensors)} keys of {file} begins with a part of this spec"
            f" ({_parts(slots)}): {list_names(strangers)}{f'; {makers}' if makers else ''}"
        )
    slot = strangers[0].partition(".")[0]
    hint = did_you_mean(slot, found)
    raise WeightsError(
        f"{file} holds {len(strangers)} keys of parts that this spec has no weights for (it has "
        f"{_parts(slots)}): {list_names(strangers)}{'; ' + hint if hint else ''}"
    )


def _misfit(what: str, missing: Sequence[str], extra: Sequence[str], shapes: Sequence[str]) -> str:
    """What does not fit, one line for each way of not fitting."""
    told = (("missing", missing), ("not known to the part", extra), ("of another shape", shapes))
    lines = [f"    {len(names)} {title}: {list_names(names)}" for title, names in told if names]
    return "\n".join([f"{what}:", *lines])


def _parts(slots: Collection[str]) -> str:
    return ", ".join(f"{slot}." for slot in sorted(slots)) or "none"


def _from_hub(address: Address) -> Path:
    try:
        from huggingface_hub import hf_hub_download, utils
    except ModuleNotFoundError as error:
        raise WeightsError(
            f"weights hub:{address.value} need huggingface_hub: pip install 'glidepath-diffusion[hub]'"
        ) from error
    owner, _, rest = address.value.partition("/")
    name, _, file = rest.partition("/")
    repository, revision = f"{owner}/{name}", address.revision
    fetch: Callable[..., str] = hf_hub_download
    where = f"weights hub:{address.value}" + (f" at revision {revision!r}" if revision else "")
    try:
        return Path(fetch(repository, file, revision=revision))
    except utils.GatedRepoError as error:
        why = f"{repository} is given to those only who agreed to its terms; log in with: hf auth login"
        raise WeightsError(f"{where}: {why}") from error
    except utils.RepositoryNotFoundError as error:
        why = f"the hub has no repository {repository}, or none that you may read; log in with: hf auth login"
        raise WeightsError(f"{where}: {why}") from error
    except utils.RevisionNotFoundError as error:
        why = f"{repository} has no such branch, tag or commit"
        raise WeightsError(f"{where}: {why}") from error
    except (utils.LocalEntryNotFoundError, utils.OfflineModeIsEnabled, ConnectionError) as error:
        why = "the hub cannot be reached, and the file is not in the cache of huggingface_hub here"
        raise WeightsError(f"{where}: {why}") from error
    except utils.EntryNotFoundError as error:
        raise WeightsError(f"{where}: {repository} has no file {file}") from error
    except (OSError, ValueError) as error:
        said = str(error).strip().splitlines()
        raise WeightsError(
            f"{where} cannot be fetched: {said[0] if said else type(error).__name__}"
        ) from error

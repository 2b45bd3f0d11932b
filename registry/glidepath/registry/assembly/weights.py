"""Where weights come from, and how they reach the parts. Only tensors are read: no file can run code."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs

from glidepath.registry.assembly.filling import fill
from glidepath.registry.assembly.hub import fetch_weights
from glidepath.registry.files.hashing import file_sha256, identity, together_sha256
from glidepath.registry.files.mapped import Pages
from glidepath.registry.files.shards import read_together, weight_files
from glidepath.registry.files.tensor_file import WeightsError as WeightsError
from glidepath.registry.files.tensor_file import list_names, require_numbers
from glidepath.registry.plan.address import Address, local_path
from glidepath.registry.text.problems import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor, nn

    from glidepath.registry.discovery.catalogue import Catalogue


def locate_weights(address: Address, catalogue: Catalogue) -> Mapping[Path, frozenset[str]]:
    """The files behind an address, on this machine, with the tensors that each must hold (`weight_files`).

    Of a `hub` address they are fetched, into huggingface_hub's cache.

    Raises:
        WeightsError: there is no such file, or it is not the one that was meant (sha256).
    """
    path = local_path(address, catalogue) or fetch_weights(address)
    files = weight_files(path, address.variant)
    if absent := [file for file in files if not file.is_file()]:
        raise WeightsError(f"there is no weights file {absent[0]}")
    if address.sha256:
        found = together_sha256({file.name: file_sha256(file) for file in files})
        if found != address.sha256.lower():
            what = f"{path} has sha256 {found}, and the spec expects {address.sha256}; nothing of it is used"
            raise WeightsError(what)
    return files


def weights_sha256(
    address: Address, catalogue: Catalogue, of_file: Callable[[Path], str] = file_sha256
) -> str:
    """The SHA-256 of the file behind an address, or of the files together (`together_sha256`).

    of_file: tells that of one. Raises as `locate_weights` does.
    """
    return together_sha256({file.name: of_file(file) for file in locate_weights(address, catalogue)})


_read_as: dict[Path, tuple[int, ...]] = {}
"""What each file was when it was read."""


@attrs.frozen(eq=False)
class Weights:
    """Tensors and where they are from. pages: the memory behind those that are mapped."""

    file: Path
    tensors: Mapping[str, Tensor]
    pages: Pages = attrs.Factory(Pages)

    def by_slot(self, slots: Collection[str], catalogue: Catalogue) -> dict[str, Weights]:
        """Those of a file that holds several parts, by slot: `denoiser.x` is the denoiser's `x`.

        slots: their names; those of stages, for a file that holds a cascade.

        Raises:
            WeightsError: keys belong to no slot.
        """
        found: dict[str, dict[str, Tensor]] = {slot: {} for slot in slots}
        strangers = []
        for name, tensor in self.tensors.items():
            slot, _, key = name.partition(".")
            if slot in found:
                found[slot][key] = tensor
            else:
                strangers.append(name)
        if not strangers:
            return {slot: attrs.evolve(self, tensors=tensors) for slot, tensors in found.items()}
        if len(strangers) == len(self.tensors):
            makers = catalogue.weight_makers()
            raise WeightsError(
                f"none of the {len(self.tensors)} keys of {self.file} begins with a part of this spec"
                f" ({_parts(slots)}): {list_names(strangers)}{f'; {makers}' if makers else ''}"
            )
        slot = strangers[0].partition(".")[0]
        hint = did_you_mean(slot, found)
        raise WeightsError(
            f"{self.file} holds {len(strangers)} keys of parts that this spec has no weights for (it has "
            f"{_parts(slots)}): {list_names(strangers)}{'; ' + hint if hint else ''}"
        )


def read(address: Address, catalogue: Catalogue) -> Weights:
    """The tensors behind an address: safetensors, or PyTorch files read with weights_only.

    Raises:
        WeightsError: there is no such file, it is not the one that was meant, is damaged, or was changed
            meanwhile; or it holds something else than tensors.
    """
    files = locate_weights(address, catalogue)
    before = {file: identity(file) for file in files}
    pages = Pages()
    tensors = read_together(files, pages)
    locate_weights(address, catalogue)  # where another file has taken its place, its sha256 is another
    for file, was in before.items():
        if identity(file) != was:
            raise WeightsError(f"{file} was changed while it was read")
    _read_as.update(before)
    whole = next(iter(files)) if len(files) == 1 else next(iter(files)).parent
    return Weights(whole, tensors, pages)


def read_sha256(path: Path) -> str:
    """The SHA-256 of a file as it was when it was last read here, or is now where it was not.

    Raises:
        WeightsError: it has changed since it was read.
    """
    if _read_as.get(path, before := identity(path)) != before:
        raise WeightsError(f"{path} was changed after it was read: the sha256 of what was read is not known")
    return file_sha256(path)


@runtime_checkable
class ReadsWeights(Protocol):
    """A network that reads files of other key names than its own `state_dict` has."""

    def read_weights(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The same tensors under the network's own names.

        A function of the names: it renames, drops, gives one tensor two names, takes pieces of one; it
        changes no tensor. It is not asked where the names are the network's own already. A network that
        wraps another as `self.network` writes {f"network.{name}": tensor for name, tensor in ...}.
        """


def load_module(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    part: str,
    file: Path,
    pages: Pages | None = None,
) -> None:
    """Load a part's weights, all of them and nothing else, in the module's own precision.

    Where the names of the tensors are not the module's, it is asked for its own first (`ReadsWeights`).
    What of the module has no memory yet, on the device `meta`, gets it. pages: behind mapped tensors; their
    memory is given back on the way, so that no more is taken than the module keeps.

    Raises:
        WeightsError: keys are missing, extra or of another shape, or tensors hold integers, NaN or infinite
            values; the message names them.
        PartError: values do not fit the module's precision.
    """
    own = module.state_dict()
    if own.keys() != tensors.keys() and isinstance(module, ReadsWeights):
        tensors = dict(module.read_weights(tensors))
    missing = sorted(own.keys() - tensors.keys())
    extra = sorted(tensors.keys() - own.keys())
    shapes = [
        f"{name}: {list(tensors[name].shape)} in the file, {list(own[name].shape)} in the part"
        for name in sorted(own.keys() & tensors.keys())
        if own[name].shape != tensors[name].shape
    ]
    if missing or extra or shapes:
        raise WeightsError(_misfit(f"the weights in {file} do not fit {part}", missing, extra, shapes))
    require_numbers(tensors, file, part, pages)
    fill(module, tensors, f"the weights of {part} in {file}", pages or Pages())


def _misfit(what: str, missing: Sequence[str], extra: Sequence[str], shapes: Sequence[str]) -> str:
    """What does not fit, one line for each way of not fitting."""
    told = (("missing", missing), ("not known to the part", extra), ("of another shape", shapes))
    lines = [f"    {len(names)} {title}: {list_names(names)}" for title, names in told if names]
    return "\n".join([f"{what}:", *lines])


def _parts(slots: Collection[str]) -> str:
    return ", ".join(f"{slot}." for slot in sorted(slots)) or "none"

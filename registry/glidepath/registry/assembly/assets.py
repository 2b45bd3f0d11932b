"""What parts read beside weights, such as vocabularies: where it is, and the hashes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.registry.assembly.hub import fetch_path
from glidepath.registry.describe.fields import fields
from glidepath.registry.files.hashing import file_sha256, together_sha256
from glidepath.registry.files.reading import files_of
from glidepath.registry.files.tensor_file import WeightsError

if TYPE_CHECKING:
    from glidepath.registry.plan.parts import PartPlan


def located_config(part: PartPlan) -> Any:
    """The config of a part, whose assets are here: those of a hub are fetched.

    Raises:
        WeightsError: the hub does not give one, or it is not the one that was meant (sha256).
    """
    found = {path: _located(part, path) for path in part.assets}
    for path, address in part.assets.items():
        if address.sha256 and found[path].exists() and _sha256(found[path]) != address.sha256:
            raise WeightsError(
                f"{found[path]} has sha256 {_sha256(found[path])}, and the spec expects {address.sha256}"
            )
    if all(path == here for path, here in found.items()):
        return part.config
    values = {
        name: getattr(part.config, field.attribute.name)
        for name, field in fields(type(part.config)).items()
        if field.asset
    }
    return attrs.evolve(part.config, **{name: _moved(value, found) for name, value in values.items()})


def asset_hashes(part: PartPlan) -> dict[str, str]:
    """The SHA-256 of each file that a part reads, by dotted path; of one in a folder with "/NAME" behind it.

    What is not there is left out. Raises as `located_config` does.
    """
    return {
        f"{path}/{name}" if name else path: file_sha256(file)
        for path, asset in part.asset_paths()
        for name, file in files_of(_located(part, asset)).items()
    }


def _located(part: PartPlan, path: Path) -> Path:
    address = part.assets.get(path)
    return path if address is None or address.scheme != "hub" else fetch_path(address)


def _sha256(path: Path) -> str:
    return together_sha256({name: file_sha256(file) for name, file in files_of(path).items()})


def _moved(value: Any, found: Mapping[Path, Path]) -> Any:
    """The value of a parameter with other paths."""
    if isinstance(value, Path):
        return found.get(value, value)
    if isinstance(value, Mapping):
        return {key: _moved(item, found) for key, item in value.items()}
    return type(value)(_moved(item, found) for item in value) if isinstance(value, list | tuple) else value

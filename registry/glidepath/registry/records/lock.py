"""The lock of a spec: its manifest in a file, and what is not as that has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core.errors import GlidepathError
from glidepath.registry.files.reading import read_bytes
from glidepath.registry.files.writing import write_text
from glidepath.registry.records.differences import ABSENT, Change, changes
from glidepath.registry.records.manifest import Manifest, ManifestError
from glidepath.registry.records.recording import NOT_THERE, describe_plan
from glidepath.registry.text.canonical_json import json_text, read_json

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.plan import Plan

SUFFIX = ".lock.json"

_LARGEST = 8 * 2**20


class LockError(GlidepathError):
    """A lock cannot be read, or what is here is not what it says."""


def lock_file(spec: str, named: str | Path | None = None) -> Path:
    """Where the lock of a spec stands: beside a file, or here for a preset, unless another place is named."""
    if named:
        return Path(named)
    path = Path(spec)
    if path.suffix in (".yaml", ".yml"):
        return path.with_name(path.stem + SUFFIX)
    return Path(spec.replace("/", "-") + SUFFIX)


def write_lock(lock: Manifest, file: Path) -> None:
    """Write a lock, whole or not at all.

    Raises:
        CannotWrite: that cannot be.
    """
    write_text(file, json_text(lock.to_json(), indent=1) + "\n")


def read_lock(file: Path) -> Manifest:
    """The lock in a file.

    Raises:
        LockError: there is none, or it cannot be read.
    """
    try:
        data = read_json(read_bytes(file, _LARGEST))
        return Manifest.from_json(data if isinstance(data, dict) else {})
    except FileNotFoundError:
        raise LockError(f"there is no lock {file}; `glidepath lock SPEC --out {file}` writes it") from None
    except (OSError, ValueError, ManifestError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LockError(f"cannot read the lock {file}: {reason}") from error


def require_locked(plan: Plan, catalogue: Catalogue, file: Path, name: str) -> None:
    """Hold a plan against its lock. name: the spec, as it was called.

    Raises:
        LockError: something drifted: with each thing, what it was, and what it is.
        LockError: there is no lock, or it cannot be read.
        WeightsError: as `describe_plan`.
    """
    drifted = drift(read_lock(file), describe_plan(plan, catalogue))
    if drifted:
        count = "1 thing is" if len(drifted) == 1 else f"{len(drifted)} things are"
        lines = [f"{count} not as {file} has it; nothing was built"]
        lines += [f"{_brief(change)}{_cause(change, plan)}" for change in drifted]
        lines.append(f"to take it all as it is now: glidepath lock {name} --out {file}")
        raise LockError("\n    ".join(lines))


def drift(lock: Manifest, now: Manifest) -> list[Change]:
    """What is not as the lock has it. Of Python, only another minor version counts."""
    return [
        change
        for change in changes(lock, now)
        if (change.section, change.path) != ("environment", "python")
        or _minor(change.was) != _minor(change.now)
    ]


def _brief(change: Change) -> str:
    """A change in one sentence, with the beginnings of hashes."""
    if change.section not in ("code", "files", "weights"):
        return change.sentence()
    was, now = (
        value if value in (NOT_THERE, ABSENT) else str(value)[:12] for value in (change.was, change.now)
    )
    return Change(change.section, change.path, was, now).sentence()


def _cause(change: Change, plan: Plan) -> str:
    """Where the other value of a spec is from."""
    if change.section != "spec":
        return ""
    paths = (change.path, f"{change.path}.use")
    place = next((str(plan.spec.places[path]) for path in paths if path in plan.spec.places), "")
    return f", from {place}" if place else ", a default or from what the spec extends"


def _minor(version: object) -> str:
    return ".".join(str(version).split(".")[:2])

"""The lock of a spec: all that decides what it makes, as it is here and now, in one JSON file."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.core.errors import GlidepathError
from glidepath.registry.assembly.weights import locate, sha256
from glidepath.registry.discovery.installed import installed_files
from glidepath.registry.discovery.scan import DISTRIBUTION, install_remedy, installed_version
from glidepath.registry.files.writing import write_text
from glidepath.registry.records.differences import ABSENT, Change, Facts, changes, shown
from glidepath.registry.text.canonical_json import canonical_json
from glidepath.registry.text.tree import join

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.plan import Plan

FORMAT = "glidepath-lock-1"
SUFFIX = ".lock.json"
NOT_THERE = "not there"
"""In place of the hash of a file of weights that is yet to be trained, or fetched."""

_LARGEST = 64 * 2**20
_OWN = ("glidepath.core", "glidepath.registry", "glidepath.testing")


class LockError(GlidepathError):
    """A lock cannot be read, or what is here is not what it says."""


@attrs.frozen(kw_only=True)
class Lock:
    """A lock. name: the spec, as it was called. facts: all but `images`."""

    name: str
    facts: Facts

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        facts = self.facts
        return {
            "format": FORMAT,
            "name": self.name,
            "spec_sha256": _hash_of(facts.spec),
            "spec": facts.spec,
            "environment": dict(facts.environment or {}),
            "distributions": {
                name: {
                    "version": version,
                    "requires": list((facts.requires or {}).get(name, ())),
                    "files": dict((facts.code or {}).get(name, {})),
                }
                for name, version in facts.distributions.items()
            },
            "files": dict(facts.files or {}),
            "weights": dict(facts.weights),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Lock:
        """Read plain values.

        Raises:
            LockError: they are not a lock that this version reads, or its spec was edited.
        """
        if data.get("format") != FORMAT:
            raise LockError(f"it has format {data.get('format')!r}, and this version reads {FORMAT!r}")
        try:
            releases = {str(name): dict(it) for name, it in data["distributions"].items()}
            lock = Lock(
                name=str(data["name"]),
                facts=Facts(
                    spec=dict(data["spec"]),
                    distributions={name: str(it["version"]) for name, it in releases.items()},
                    requires={name: [str(one) for one in it["requires"]] for name, it in releases.items()},
                    code={name: _strings(it["files"]) for name, it in releases.items()},
                    files=_strings(data["files"]),
                    weights=_strings(data["weights"]),
                    environment=_strings(data["environment"]),
                ),
            )
            told, found = data["spec_sha256"], _hash_of(lock.facts.spec)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise LockError(f"it is damaged: {type(error).__name__}: {error}") from error
        if told != found:
            raise LockError(f"it was edited: its spec has sha256 {found[:12]}, and it says {str(told)[:12]}")
        return lock


def make_lock(plan: Plan, catalogue: Catalogue, name: str) -> Lock:
    """The lock of a plan. Reads every file of the distributions that supply its parts; imports no torch.

    Of plugins, those count that supply a part, and those that are told of what is built.

    Raises:
        WeightsError: a file of weights is not the one that the spec means, or a hub does not give it.
    """
    versions = {
        DISTRIBUTION: installed_version(DISTRIBUTION) or "unknown",
        **plan.distributions,
        **{record.distribution: record.version for record in catalogue.told_of_builds()},
    }
    missing = plan.missing_weights(catalogue)
    facts = Facts(
        spec=json.loads(canonical_json(plan.tree)),
        distributions=dict(sorted(versions.items())),
        requires={
            one: sorted(
                {it for record in catalogue.records if record.distribution == one for it in record.requires}
            )
            for one in sorted(versions)
        },
        code={
            one: {name: sha256(file) for name, file in installed_files(one, _modules(one, catalogue)).items()}
            for one in sorted(versions)
        },
        files={path: sha256(file) for path, file in _files(plan) if file.is_file()},
        weights={
            path: NOT_THERE if path in missing else sha256(locate(address, catalogue))
            for path, address in plan.all_weights().items()
        },
        environment={"python": platform.python_version(), "torch": _torch_version()},
    )
    return Lock(name=name, facts=facts)


def drift(lock: Lock, now: Lock) -> list[Change]:
    """What is not as the lock has it. Of Python, only another minor version counts."""
    return [
        change
        for change in changes(lock.facts, now.facts)
        if (change.section, change.path) != ("environment", "python")
        or _minor(change.was) != _minor(change.now)
    ]


def require_locked(plan: Plan, catalogue: Catalogue, file: Path, name: str) -> None:
    """Hold a plan against its lock.

    Raises:
        LockError: something drifted: with each thing, what it was, what it is, and what would put it right.
        LockError: there is no lock, or it cannot be read.
        WeightsError: as `make_lock`.
    """
    found = drift(read_lock(file), make_lock(plan, catalogue, name))
    if found:
        count = "1 thing is" if len(found) == 1 else f"{len(found)} things are"
        lines = [f"{count} not as {file} has it; nothing was built"]
        lines += [f"{_told(change)}; {_remedy(change, plan)}" for change in found]
        lines.append(f"to take it all as it is now: glidepath lock {name} --out {file}")
        raise LockError("\n    ".join(lines))


def other_versions(lock: Lock) -> list[str]:
    """Which distributions of a lock are absent or of another version here, one sentence each."""
    told = []
    for name, version in lock.facts.distributions.items():
        here = installed_version(name)
        if here != version:
            state = f"{here} is installed" if here else "it is not installed"
            told.append(f"the lock has {name} {version}, and {state}: {install_remedy(name, f'=={version}')}")
    return told


def read_lock(file: Path) -> Lock:
    """The lock in a file.

    Raises:
        LockError: there is none, or it cannot be read.
    """
    try:
        if file.stat().st_size > _LARGEST:
            raise LockError(f"{file} is too large for a lock")
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LockError(f"there is no lock {file}; `glidepath lock SPEC --out {file}` writes it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise LockError(f"cannot read the lock {file}: {error}") from error
    try:
        return Lock.from_json(data if isinstance(data, dict) else {})
    except LockError as error:
        raise LockError(f"cannot read the lock {file}: {error}") from error


def write_lock(lock: Lock, file: Path) -> None:
    """Write a lock, whole or not at all.

    Raises:
        CannotWrite: that cannot be.
    """
    write_text(file, json.dumps(lock.to_json(), indent=1, ensure_ascii=False) + "\n")


def lock_file(spec: str, named: str | Path | None = None) -> Path:
    """Where the lock of a spec stands: beside a file, or here for a preset, unless another place is named."""
    if named:
        return Path(named)
    path = Path(spec)
    if path.suffix in (".yaml", ".yml"):
        return path.with_name(path.stem + SUFFIX)
    return Path(spec.replace("/", "-") + SUFFIX)


def _modules(name: str, catalogue: Catalogue) -> list[str]:
    """Modules of a distribution, in all of its packages."""
    plugins = [record.module for record in catalogue.records if record.distribution == name]
    targets = [it.component.target for it in catalogue.components() if it.distribution == name]
    own = _OWN if name == DISTRIBUTION else ()
    modules = dict.fromkeys([*own, *plugins, *(target.partition(":")[0] for target in targets)])
    return [module for module in modules if module]


def _files(plan: Plan) -> Iterator[tuple[str, Path]]:
    """The files that parameters name, by dotted path."""
    for part in plan.all_parts():
        for field in attrs.fields(type(part.config)) if part.config is not None else ():
            path = join(part.path, field.alias or field.name)
            for where, value in _leaves(getattr(part.config, field.name), path):
                if isinstance(value, PurePath):
                    yield where, Path(value)


def _leaves(value: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, join(path, str(key)))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def _torch_version() -> str:
    try:
        return version_of("torch")
    except PackageNotFoundError:
        return "unknown"


def _told(change: Change) -> str:
    title = {
        "spec": change.path,
        "distributions": f"distribution {change.path}",
        "requires": f"what {change.path} requires",
        "code": f"sha256 of {change.path.partition(': ')[2]} of {change.path.partition(': ')[0]}",
        "files": f"sha256 of the file at {change.path}",
        "weights": f"sha256 of the weights{f' of {change.path}' if change.path else ''}",
        "environment": change.path,
    }[change.section]
    was, now = (_short(change.section, value) for value in (change.was, change.now))
    return f"{title}: was {was}, and is {now}"


def _remedy(change: Change, plan: Plan) -> str:
    """What would put one thing right."""
    was = shown(change.was)
    if change.section == "spec":
        return _remedy_in_spec(change, plan)
    if change.section == "distributions":
        if change.was is ABSENT:
            return "the lock knows no part of it"
        return install_remedy(change.path, f"=={was}")
    if change.section == "code":
        return f"put the file back, or install {change.path.partition(': ')[0]} again"
    if change.section in ("files", "weights"):
        return "put the file of that hash there"
    if change.path == "torch":
        return f"pip install torch=={was}"
    if change.path == "python":
        return f"run it with Python {_minor(was)}"
    return "install the versions that were locked"


def _remedy_in_spec(change: Change, plan: Plan) -> str:
    paths = (change.path, f"{change.path}.use")
    place = next((str(plan.spec.places[path]) for path in paths if path in plan.spec.places), "")
    if place.startswith("--"):
        return f"leave out {place}"
    if place:
        return f"it is from {place}"
    if change.was is ABSENT or change.now is ABSENT:
        return "change it in the spec, or install the versions that were locked"
    return (
        "it is a default, which a version or a file that the spec extends has changed; write it into the spec"
    )


def _short(section: str, value: object) -> str:
    text = shown(value)
    return text[:12] if section in ("code", "files", "weights") and value != NOT_THERE else text


def _minor(version: object) -> str:
    return ".".join(str(version).split(".")[:2])


def _hash_of(tree: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(tree).encode("utf-8")).hexdigest()


def _strings(data: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in data.items()}

"""`weights`: how to get a file of weights."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import attrs

from glidepath.registry.catalogue import Unknown
from glidepath.registry.faults import Faults, shown
from glidepath.registry.files import locate
from glidepath.registry.scalars import NULL
from glidepath.registry.yamltree import Broken, MappingNode, Node, Scalar, describe, join

if TYPE_CHECKING:
    from glidepath.registry.catalogue import Catalogue

EXTENSIONS = (".safetensors", ".pt", ".pth", ".ckpt")
FORMS = (
    "a file",
    "package:PACKAGE/FILE",
    "hub:OWNER/NAME/FILE",
    "{path: ..., sha256: ...}",
    "{path: hub:..., revision: ..., sha256: ...}",
)
_KEYS = ("path", "revision", "sha256")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
_HUB = re.compile(r"[\w.-]+/[\w.-]+(?:/[\w.-]+)+", re.ASCII)
_REVISION = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@attrs.frozen
class Address:
    """How to get a file.

    scheme: "file", "package" or "hub".
    value: an absolute path; "PACKAGE/FILE"; "OWNER/NAME/FILE".
    sha256: what the file's bytes must have, in lower-case hex. revision: of a hub repository.
    """

    scheme: str
    value: str
    sha256: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        return self.value if self.scheme == "file" else f"{self.scheme}:{self.value}"


def read_address(
    node: Node, path: str, catalogue: Catalogue, faults: Faults, *, must_exist: bool = False
) -> Address | None:
    """The address that a spec writes, None after a fault.

    must_exist: a file, also of a package, that is not there is a fault. A hub is not asked.
    """
    if isinstance(node, Broken):
        return None
    if isinstance(node, Scalar) and node.is_text:
        return _Reader(path, catalogue, faults, must_exist).read(node, None, None)
    if not isinstance(node, MappingNode):
        faults.add(f"weights takes an address, and this is {describe(node)}", node.place, path, allowed=FORMS)
        return None
    before = len(faults)
    for key, entry in node.items.items():
        if key not in _KEYS:
            faults.add(
                f"weights has no {shown(key)}", entry.key, join(path, key), allowed=_KEYS, near=(key, _KEYS)
            )
    texts = {key: _text(node, key, path, faults) for key in _KEYS}
    if texts["path"] is None and len(faults) == before:
        faults.add("weights has no path", node.place, path, allowed=FORMS)
    if texts["path"] is None or len(faults) > before:
        return None
    return _Reader(join(path, "path"), catalogue, faults, must_exist).read(
        texts["path"], texts["revision"], texts["sha256"]
    )


def _text(node: MappingNode, key: str, path: str, faults: Faults) -> Scalar | None:
    value = node.get(key)
    if value is None or isinstance(value, Broken) or (isinstance(value, Scalar) and value.rule == NULL):
        return None
    # a hash or a revision may be digits alone
    if isinstance(value, Scalar) and (value.is_text or key != "path"):
        return value
    faults.add(
        f"{key} takes text, and this is {describe(value)}", value.place, join(path, key), "write it in quotes"
    )
    return None


@attrs.frozen
class _Reader:
    path: str
    catalogue: Catalogue
    faults: Faults
    must_exist: bool

    def read(self, node: Scalar, revision: Scalar | None, sha256: Scalar | None) -> Address | None:
        before = len(self.faults)
        found = _SCHEME.fullmatch(node.text)
        scheme, value = ("file", node.text) if found is None else (found[1], found[2])
        if scheme not in ("file", "package", "hub") or (scheme == "file" and found):
            known = ("package", "hub")
            self.fault(
                f"there is no kind of address {shown(scheme)}", node, allowed=FORMS, near=(scheme, known)
            )
            return None
        if not value.endswith(EXTENSIONS):
            self.fault(
                f"{shown(value)} is no file of weights, by its name",
                node,
                allowed=[f"NAME{end}" for end in EXTENSIONS],
            )
        if sha256 is not None and not _SHA256.fullmatch(sha256.text):
            self.fault("sha256 takes 64 hexadecimal digits", sha256)
        if revision is not None and (scheme != "hub" or not _REVISION.fullmatch(revision.text)):
            self.fault("a revision is a branch, a tag or a commit of a hub repository", revision)
        if scheme == "hub" and sha256 is None and not node.source.trusted:
            hint = "a spec that came with an image or a checkpoint says exactly what is to be fetched"
            self.fault("this address needs a sha256", node, hint)
        if len(self.faults) > before:
            return None
        value = {"file": self.file, "package": self.package, "hub": self.hub}[scheme](node, value)
        if not value:
            return None
        return Address(
            scheme, value, sha256.text.lower() if sha256 else None, revision.text if revision else None
        )

    def file(self, node: Scalar, name: str) -> str:
        located = locate(node, self.path, self.faults)
        if located is None:
            return ""
        if self.must_exist and not located.is_file():
            self.fault(f"there is no file {shown(name)}", node, f"it would be {located}")
        return str(located)

    def package(self, node: Scalar, value: str) -> str:
        package, slash, name = value.partition("/")
        if not slash or not _is_below(name):
            self.fault(
                f"{shown(value)} does not name a file of a package",
                node,
                "such as package:acme.weights/base.safetensors",
            )
            return ""
        try:
            folder = self.catalogue.package_folder(package)
        except Unknown as unknown:
            self.fault(unknown.what, node, unknown.hint, unknown.allowed)
            return ""
        file = (folder / name).resolve()
        if not file.is_relative_to(folder.resolve()):
            self.fault(f"{shown(value)} leads out of the package", node)
        elif self.must_exist and not file.is_file():
            names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(EXTENSIONS))
            self.fault(f"{package} has no file {shown(name)}", node, allowed=names, near=(name, names))
        return value

    def hub(self, node: Scalar, value: str) -> str:
        if not _HUB.fullmatch(value) or not _is_below(value):
            self.fault(
                f"{shown(value)} does not name a file of a hub repository",
                node,
                "such as hub:owner/name/file.safetensors",
            )
            return ""
        return value

    def fault(
        self,
        what: str,
        node: Scalar,
        hint: str = "",
        allowed: Iterable[str] = (),
        near: tuple[str, Iterable[str]] | None = None,
    ) -> None:
        self.faults.add(what, node.place, self.path, hint, allowed, near)


def _is_below(name: str) -> bool:
    """Whether a relative name stays below where it starts."""
    parts = PurePosixPath(name).parts
    return (
        bool(parts)
        and "\\" not in name
        and name.isprintable()
        and not name.startswith("/")
        and ".." not in parts
    )

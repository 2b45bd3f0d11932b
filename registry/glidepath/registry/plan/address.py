"""`weights`: how to get a file of weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import attrs

from glidepath.registry.discovery.components import NotFound
from glidepath.registry.text.named_files import is_there, locate
from glidepath.registry.text.problems import Problems, quoted
from glidepath.registry.text.scalars import NULL
from glidepath.registry.text.tree import Broken, MappingNode, Node, Scalar, describe_node, join_path

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue

WEIGHT_EXTENSIONS = (".safetensors", ".pt", ".pth", ".ckpt")
FORMS = (
    "a file",
    "package:PACKAGE/FILE",
    "hub:OWNER/NAME/FILE",
    "{path: ..., sha256: ...}",
    "{path: hub:..., revision: ..., sha256: ...}",
)
_KEYS = ("path", "revision", "sha256")
_SCHEMES = ("package", "hub")
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


def local_file(address: Address, catalogue: Catalogue) -> Path | None:
    """Where the file of an address is, or would be; None for one of a hub, which is not asked.

    Raises:
        NotFound: no working plugin is in the package.
    """
    if address.scheme == "hub":
        return None
    if address.scheme == "file":
        return Path(address.value)
    package, _, name = address.value.partition("/")
    return catalogue.package_folder(package) / name


def read_address(
    node: Node, path: str, catalogue: Catalogue, problems: Problems, *, must_exist: bool = False
) -> Address | None:
    """The address that a spec writes, None after a problem.

    must_exist: a file, also of a package, that is not there is a problem. A hub is not asked.
    """
    if isinstance(node, Broken):
        return None
    if isinstance(node, Scalar) and node.is_text:
        return _Reader({"path": node}, {"path": path}, catalogue, problems, must_exist).read()
    if not isinstance(node, MappingNode):
        problems.add(
            f"weights takes an address, and this is {describe_node(node)}", node.place, path, allowed=FORMS
        )
        return None
    before = len(problems)
    for key, entry in node.items.items():
        if key not in _KEYS:
            what = f"weights has no {quoted(key)}"
            problems.add(what, entry.key, join_path(path, key), allowed=_KEYS, near=(key, _KEYS))
    texts = {key: text for key in _KEYS if (text := _text(node, key, path, problems))}
    if "path" not in texts and len(problems) == before:
        problems.add("weights has no path", node.place, path, allowed=FORMS)
    if len(problems) > before:
        return None
    return _Reader(
        texts, {key: join_path(path, key) for key in _KEYS}, catalogue, problems, must_exist
    ).read()


def _text(node: MappingNode, key: str, path: str, problems: Problems) -> Scalar | None:
    value = node.get(key)
    if value is None or (isinstance(value, Scalar) and value.rule == NULL):
        return None
    # a hash or a revision may be digits alone
    if isinstance(value, Scalar) and (value.is_text or key != "path"):
        return value
    if not isinstance(value, Broken):
        what = f"{key} takes text, and this is {describe_node(value)}"
        problems.add(what, value.place, join_path(path, key), "write it in quotes")
    return None


@attrs.frozen
class _Reader:
    """Reads one address. texts, paths: what is written, and its dotted paths, by key."""

    texts: Mapping[str, Scalar]
    paths: Mapping[str, str]
    catalogue: Catalogue
    problems: Problems
    must_exist: bool

    def read(self) -> Address | None:
        node, sha256, revision = self.texts["path"], self.texts.get("sha256"), self.texts.get("revision")
        before = len(self.problems)
        match = _SCHEME.fullmatch(node.text)
        scheme, value = (match[1], match[2]) if match else ("file", node.text)
        if match and scheme not in _SCHEMES:
            what = f"there is no kind of address {quoted(scheme)}"
            self.problem("path", what, allowed=FORMS, near=(scheme, _SCHEMES))
            return None
        if not value.endswith(WEIGHT_EXTENSIONS):
            allowed = [f"NAME{end}" for end in WEIGHT_EXTENSIONS]
            self.problem("path", f"{quoted(value)} is no file of weights, by its name", allowed=allowed)
        if sha256 and not _SHA256.fullmatch(sha256.text):
            self.problem("sha256", "sha256 takes 64 hexadecimal digits")
        if revision and (scheme != "hub" or not _REVISION.fullmatch(revision.text)):
            self.problem("revision", "a revision is a branch, a tag or a commit of a hub repository")
        if scheme == "hub" and not sha256 and not node.source.trusted:
            hint = "a spec that came with an image or a checkpoint says exactly what is to be fetched"
            self.problem("path", "this address needs a sha256", hint)
        if len(self.problems) == before:
            value = {"file": self.file, "package": self.package, "hub": self.hub}[scheme](node, value)
        if len(self.problems) > before:
            return None
        return Address(
            scheme, value, sha256.text.lower() if sha256 else None, revision.text if revision else None
        )

    def file(self, node: Scalar, name: str) -> str:
        located = locate(node, self.paths["path"], self.problems)
        if located is not None and self.must_exist and not is_there(located):
            hints = (f"it would be {located}", self.catalogue.weight_makers())
            self.problem("path", f"there is no file {quoted(name)}", "; ".join(filter(None, hints)))
        return str(located)

    def package(self, _node: Scalar, value: str) -> str:
        package, slash, name = value.partition("/")
        if not slash or not _is_below(name):
            what = f"{quoted(value)} does not name a file of a package"
            self.problem("path", what, "such as package:acme.weights/base.safetensors")
            return value
        try:
            folder = self.catalogue.package_folder(package)
        except NotFound as unknown:
            self.problem("path", unknown.what, unknown.hint, unknown.allowed)
            return value
        file = (folder / name).resolve()
        if not file.is_relative_to(folder.resolve()):
            self.problem("path", f"{quoted(value)} leads out of the package")
        elif self.must_exist and not file.is_file():
            names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(WEIGHT_EXTENSIONS))
            self.problem("path", f"{package} has no file {quoted(name)}", allowed=names, near=(name, names))
        return value

    def hub(self, _node: Scalar, value: str) -> str:
        if not _HUB.fullmatch(value) or not _is_below(value):
            what = f"{quoted(value)} does not name a file of a hub repository"
            self.problem("path", what, "such as hub:owner/name/file.safetensors")
        return value

    def problem(
        self,
        key: str,
        what: str,
        hint: str = "",
        allowed: Iterable[str] = (),
        near: tuple[str, Iterable[str]] | None = None,
    ) -> None:
        self.problems.add(what, self.texts[key].place, self.paths[key], hint, allowed, near)


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

"""Addresses: how to get a file or a folder, of weights or of what else a part reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import attrs

from glidepath.registry.discovery.components import NotFound
from glidepath.registry.files.hub_cache import cached_repository
from glidepath.registry.files.shards import WEIGHT_EXTENSIONS, WeightsError, is_index, weight_files
from glidepath.registry.text.named_files import is_there, leads_out, locate
from glidepath.registry.text.problems import Problems, quoted
from glidepath.registry.text.scalars import NULL
from glidepath.registry.text.tree import Broken, MappingNode, Node, Scalar, describe_node, join_path

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue

WEIGHTS = "weights"
FORMS = (
    "a file or folder",
    "package:PACKAGE/FILE",
    "hub:OWNER/NAME/FILE",
    "{path: ..., sha256: ...}",
    "{path: FOLDER, variant: ...}",
    "{path: hub:..., revision: ..., sha256: ...}",
)
_KEYS = ("path", "variant", "revision", "sha256")
_SCHEMES = ("package", "hub")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
_HUB = re.compile(r"[\w.-]+/[\w.-]+(?:/[\w.-]+)*", re.ASCII)
_EXTENSION = re.compile(r"\.[A-Za-z]\w*")
_VARIANT = re.compile(r"[\w-]+", re.ASCII)
_REVISION = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@attrs.frozen
class Address:
    """How to get a file or a folder.

    scheme: "file", "package" or "hub".
    value: an absolute path; "PACKAGE/FILE"; "OWNER/NAME/FILE", or "OWNER/NAME" for all of a repository.
    sha256: what the file's bytes must have, in lower-case hex; of several files, as `together_sha256` has it.
    revision: of a hub repository. variant: which weights of a folder are meant, such as "fp16".
    """

    scheme: str
    value: str
    sha256: str | None = None
    revision: str | None = None
    variant: str = ""

    def __str__(self) -> str:
        return self.value if self.scheme == "file" else f"{self.scheme}:{self.value}"


def local_path(address: Address, catalogue: Catalogue) -> Path | None:
    """Where the file or folder of an address is, or would be; None for one of a hub, which is not asked.

    Raises:
        NotFound: no working plugin is in the package.
    """
    if address.scheme == "hub":
        return None
    if address.scheme == "file":
        return Path(address.value)
    package, _, name = address.value.partition("/")
    return catalogue.package_folder(package) / name


def cached_path(address: Address) -> Path | None:
    """What was fetched of a hub address before; None where nothing was."""
    owner, name, *below = address.value.split("/")
    folder = cached_repository(f"{owner}/{name}", address.revision or "main")
    path = None if folder is None else folder.joinpath(*below)
    return path if path is not None and os.path.exists(path) else None


def local_weights(address: Address, catalogue: Catalogue) -> Sequence[Path]:
    """The files of weights behind an address that are here; none for those of a hub, which is not asked."""
    path = local_path(address, catalogue)
    try:
        return [] if path is None else list(weight_files(path, address.variant))
    except WeightsError:
        return []


def is_complete(address: Address, catalogue: Catalogue) -> bool:
    """Whether all files of weights behind an address are here."""
    files = local_weights(address, catalogue)
    return bool(files) and all(map(is_there, files))


def read_address(
    node: Node,
    path: str,
    catalogue: Catalogue,
    problems: Problems,
    *,
    name: str = WEIGHTS,
    must_exist: bool = False,
) -> Address | None:
    """The address that a spec writes, None after a problem.

    name: the parameter, of which any file or folder is right, or the key `weights`.
    must_exist: a file, also of a package, that is not there is a problem. A hub is not asked.
    """
    if isinstance(node, Broken):
        return None
    if isinstance(node, Scalar) and (node.is_text or (node.source.override and node.rule != NULL)):
        return _Reader({"path": node}, {"path": path}, catalogue, problems, name, must_exist).read()
    if not isinstance(node, MappingNode):
        what = f"{name} takes an address, and this is {describe_node(node)}"
        problems.add(what, node.place, path, allowed=FORMS)
        return None
    keys = [key for key in _KEYS if key != "variant" or name == WEIGHTS]
    before = len(problems)
    for key, entry in node.items.items():
        if key not in keys:
            what = f"{name} has no {quoted(key)}"
            problems.add(what, entry.key, join_path(path, key), allowed=keys, near=(key, keys))
    texts = {key: text for key in keys if (text := _text(node, key, path, problems))}
    if "path" not in texts and len(problems) == before:
        problems.add(f"{name} has no path", node.place, path, allowed=FORMS)
    if len(problems) > before:
        return None
    paths = {key: join_path(path, key) for key in keys}
    return _Reader(texts, paths, catalogue, problems, name, must_exist).read()


def _packaged(path: Path, catalogue: Catalogue) -> str:
    """The absolute path of what ships with a working plugin, as "PACKAGE/FILE"; "" for what does not."""
    folders = [(name, it) for name, it in catalogue.package_folders.items() if path.is_relative_to(it)]
    name, folder = max(folders, key=lambda found: len(found[1].parts), default=("", path))
    return f"{name}/{path.relative_to(folder).as_posix()}" if name else ""


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
    name: str
    must_exist: bool

    def read(self) -> Address | None:
        node, sha256, revision = self.texts["path"], self.texts.get("sha256"), self.texts.get("revision")
        variant, before = self.texts.get("variant"), len(self.problems)
        match = _SCHEME.fullmatch(node.text)
        scheme, value = (match[1], match[2]) if match else ("file", node.text)
        if match and scheme not in _SCHEMES:
            what = f"there is no kind of address {quoted(scheme)}"
            self.problem("path", what, allowed=FORMS, near=(scheme, _SCHEMES))
            return None
        if sha256 and not _SHA256.fullmatch(sha256.text):
            self.problem("sha256", "sha256 takes 64 hexadecimal digits")
        if revision and (scheme != "hub" or not _REVISION.fullmatch(revision.text)):
            self.problem("revision", "a revision is a branch, a tag or a commit of a hub repository")
        if variant and not _VARIANT.fullmatch(variant.text):
            self.problem("variant", "a variant is a word of letters and digits", "such as fp16")
        if scheme == "hub" and not sha256 and not node.source.trusted:
            hint = "a spec that came with an image or a checkpoint says exactly what is to be fetched"
            self.problem("path", "this address needs a sha256", hint)
        if len(self.problems) == before:
            value = {"file": self.file, "package": self.package, "hub": self.hub}[scheme](node, value)
        if len(self.problems) > before:
            return None
        if scheme == "file" and node.source.distribution:
            # what ships with a preset is there for all who have it
            shipped = _packaged(Path(value), self.catalogue)
            scheme, value = ("package", shipped) if shipped else (scheme, value)
        return Address(
            scheme,
            value,
            sha256.text.lower() if sha256 else None,
            revision.text if revision else None,
            variant.text if variant else "",
        )

    def file(self, node: Scalar, name: str) -> str:
        located = locate(node, self.paths["path"], self.problems)
        if located is None or not self._is_right(located, name):
            return name
        if not node.source.trusted and (out := leads_out(located)):
            self.problem("path", f"{quoted(name)} holds a link that leads out of it: {out.name}")
        elif self.must_exist and not (is_there(located) or os.path.isdir(located)):
            hints = (f"it would be {located}", self.catalogue.weight_makers())
            self.problem("path", f"there is no file {quoted(name)}", "; ".join(filter(None, hints)))
        else:
            self._require_weights(located)
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
        elif self._is_right(file, name):
            if self.must_exist and not os.path.exists(file):
                ends = WEIGHT_EXTENSIONS if self.name == WEIGHTS else ("",)
                names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(ends))
                what = f"{package} has no file {quoted(name)}"
                self.problem("path", what, allowed=names, near=(name, names))
            else:
                self._require_weights(file)
        return value

    def hub(self, _node: Scalar, value: str) -> str:
        if not _HUB.fullmatch(value) or not _is_below(value):
            what = f"{quoted(value)} does not name a file of a hub repository"
            self.problem("path", what, "such as hub:owner/name/file.safetensors")
        else:
            self._is_right(Path(*PurePosixPath(value).parts[2:]), value)
        return value

    def _is_right(self, path: Path, written: str) -> bool:
        """Whether the name of what is to be weights is one of a file of weights, or may be of a folder."""
        if self.name != WEIGHTS or os.path.isdir(path):
            return True
        is_file = path.name.endswith(WEIGHT_EXTENSIONS) or is_index(path.name)
        if is_file and "variant" in self.texts:
            self.problem("variant", "a variant is one of those in a folder, and path names a file")
            return False
        if not is_file and _EXTENSION.fullmatch(path.suffix):
            allowed = [*(f"NAME{end}" for end in WEIGHT_EXTENSIONS), "a folder"]
            self.problem("path", f"{quoted(written)} is no file of weights, by its name", allowed=allowed)
            return False
        return True

    def _require_weights(self, path: Path) -> None:
        """Refuse what is there and holds no weights: where that is asked, and a folder or an index."""
        if self.name != WEIGHTS or not (
            os.path.isdir(path) or (is_index(path.name) and os.path.isfile(path))
        ):
            return
        try:
            missing = [file for file in weight_files(path, self._variant) if not is_there(file)]
        except WeightsError as error:
            self.problem("path", str(error))
            return
        if missing and self.must_exist:
            self.problem("path", f"there is no file {missing[0]}, which {path.name} names")

    @property
    def _variant(self) -> str:
        return self.texts["variant"].text if "variant" in self.texts else ""

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

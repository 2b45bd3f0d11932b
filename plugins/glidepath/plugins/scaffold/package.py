"""Writes the package of a new plugin, from templates.

`templates/package` is for every kind of part. Each kind has files of its own beside it: glidepath's kinds in
`templates/kinds/KIND`, those that plugins add where `Kind.template` says. Where both have a file, that of the
kind counts.

A file `x.template` becomes x: its text is filled in by `string.Template`, and a folder PACKAGE is named for
the package. `use.json` says what names a part of the kind ("A study"), and the command that runs its example;
where there is none, a spec names the part.
"""

from __future__ import annotations

import importlib.util
import json
import keyword
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from string import Template
from types import ModuleType
from typing import Any

import attrs

from glidepath.core import GlidepathError
from glidepath.registry import (
    API_VERSION,
    Catalogue,
    Component,
    UsageError,
    did_you_mean,
    load_catalogue,
    markdown_table,
    parameter_table,
)

TEMPLATES = Path(__file__).parent / "templates"

_USE = "use.json"
_IN_A_SPEC = {
    "named_by": "A spec",
    "command": 'glidepath sample "a red star" --spec {example} --out star.png',
}
_RENAMED = {
    "part": "the {kind}, as {where} names it",
    "stem": "what the names of its classes begin with",
    "package": "the package; its folder has the name too",
    "distribution": "what is installed and published",
}
_SUFFIX = ".template"
_PACKAGE = "PACKAGE"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TAKEN = sys.stdlib_module_names | {"attrs", "build", "entrypoints", "glidepath", "numpy", "omegaconf"}
_TAKEN |= {"packaging", "pluggy", "pytest", "safetensors", "tests", "torch", "tqdm", "yaml"}


@attrs.frozen
class NewPlugin:
    """What a new package is called.

    distribution: as it is published and installed, "glidepath-acme"; also its folder.
    kind: of the part that it supplies. template: the folder of that kind's files.
    """

    distribution: str
    kind: str
    template: Path

    @property
    def package(self) -> str:
        """As Python imports it, "glidepath_acme"."""
        return self.distribution.replace("-", "_")

    @property
    def part(self) -> str:
        """As a spec names its part, "acme"."""
        return self.distribution.removeprefix("glidepath-")

    @property
    def stem(self) -> str:
        """What the names of its classes begin with, "Acme"."""
        # acme-sampler makes an AcmeSampler, and no AcmeSamplerSampler
        words = self.part.removesuffix("-" + self.kind.replace("_", "-"))
        return "".join(word.capitalize() for word in words.split("-"))

    @property
    def kind_words(self) -> str:
        """Its kind as a sentence has it, "text encoder"."""
        return self.kind.replace("_", " ")

    @property
    def a_kind(self) -> str:
        """The same with its article, "an adapter"."""
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind_words}"

    @property
    def named_by(self) -> str:
        """What names its part: "A spec", "A study"."""
        return self._use["named_by"]

    def command(self, example: Path) -> str:
        """The command that uses its part as an example file says."""
        return self._use["command"].format(example=example)

    @property
    def _use(self) -> Mapping[str, str]:
        file = self.template / _USE
        use: Mapping[str, str] = (
            json.loads(file.read_text(encoding="utf-8")) if file.is_file() else _IN_A_SPEC
        )
        return use


def templates(catalogue: Catalogue) -> Mapping[str, Path]:
    """The folder of the template of each kind of part that has one."""
    own = {folder.name: folder for folder in (TEMPLATES / "kinds").iterdir()}
    theirs = {kind.name: kind.template for kind in catalogue.kinds.values() if kind.template is not None}
    return dict(sorted({**own, **theirs}.items()))


def new_plugin(distribution: str, kind: str, catalogue: Catalogue) -> NewPlugin:
    """A plugin of that name and kind.

    kind: words joined by underscores or by hyphens.

    Raises:
        GlidepathError: the name cannot be used, or there is no template for the kind.
    """
    known, wanted = templates(catalogue), kind.replace("-", "_")
    if wanted not in known:
        hint = did_you_mean(wanted, known) or f"there are templates for {', '.join(known)}"
        raise UsageError(f"there is no template for a plugin of kind {kind!r}; {hint}")
    if not _NAME.fullmatch(distribution):
        raise UsageError(
            f"{distribution!r} is no name for a package; write lower-case words of letters and digits, "
            "joined by hyphens, a letter first, such as glidepath-acme"
        )
    plugin = NewPlugin(distribution, wanted, known[wanted])
    if plugin.package in _TAKEN or keyword.iskeyword(plugin.package):
        raise UsageError(
            f"a package named {distribution!r} would hide Python's own module, or that of a package that it "
            f"needs; another name would do, such as glidepath-{distribution}"
        )
    if not plugin.part[0].isalpha():
        raise UsageError(
            f"the part would be named {plugin.part!r}; let a letter come first behind 'glidepath-'"
        )
    bundled = load_catalogue(environ={}, no_plugins=True).components(wanted)
    if plugin.part in [registered.component.name for registered in bundled]:
        raise UsageError(
            f"glidepath has a {plugin.kind_words} {plugin.part!r} itself, and a spec that says "
            f"`use: {plugin.part}` would have to say which; choose another name"
        )
    return plugin


def write(plugin: NewPlugin, folder: Path) -> None:
    """Write the package: all of it, or nothing.

    Raises:
        GlidepathError: the folder exists, or that it would stand in does not; or it cannot be written.
    """
    values = _values(plugin)
    if folder.exists() or folder.is_symlink():
        raise GlidepathError(f"{folder} exists already; nothing was written; name another folder with --out")
    if not folder.parent.is_dir():
        raise GlidepathError(f"there is no folder {folder.parent} to write {folder.name} in")
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            made = Path(scratch) / folder.name
            _fill(plugin.template, made, values)
            component, config = _supplied(made / plugin.package)
            values |= {"summary": component.summary, "parameters": parameter_table(config)}
            values["example"] = (made / "example.yaml").read_text(encoding="utf-8").strip()
            values["renaming"] = _renaming(plugin, values)
            _fill(TEMPLATES / "package", made, values)
            made.rename(folder)
    except OSError as error:
        raise GlidepathError(f"{folder} cannot be written: {error}; nothing was left behind") from error


def _values(plugin: NewPlugin) -> dict[str, str]:
    return {
        "distribution": plugin.distribution,
        "package": plugin.package,
        "part": plugin.part,
        "stem": plugin.stem,
        "kind": plugin.kind,
        "kind_words": plugin.kind_words,
        "a_kind": plugin.a_kind,
        "A_kind": plugin.a_kind[0].upper() + plugin.a_kind[1:],
        "named_by": plugin.named_by,
        "command": plugin.command(Path("example.yaml")),
        "glidepath_range": _range(),
        "year": str(date.today().year),
    }


def _range() -> str:
    """The versions of glidepath that it says it works with: from this one to the next that may break it."""
    major, minor = (int(number) for number in API_VERSION.split("."))
    return f">={API_VERSION},<{major + 1 if major else f'0.{minor + 1}'}"


def _fill(template: Path, folder: Path, values: Mapping[str, str]) -> None:
    """Write each file of a template under a folder, but for those that are there."""
    for file, target in _files(template, folder, values).items():
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            text = Template(file.read_text(encoding="utf-8")).substitute(values)
            target.write_text(text, encoding="utf-8", newline="\n")


def _files(template: Path, folder: Path, values: Mapping[str, str]) -> dict[Path, Path]:
    """The files of a template, with the file that each becomes."""
    found = {}
    for file in sorted(template.rglob(f"*{_SUFFIX}")):
        *above, name = file.relative_to(template).parts
        parts = [values["package"] if part == _PACKAGE else part for part in above]
        found[file] = folder.joinpath(*parts, name.removesuffix(_SUFFIX))
    return found


def _renaming(plugin: NewPlugin, values: Mapping[str, str]) -> str:
    """A table of the names that follow from the package's, and of every file in which each stands."""
    top = Path()
    files = {target: file for file, target in _files(TEMPLATES / "package", top, values).items()}
    files |= {target: file for file, target in _files(plugin.template, top, values).items()}
    texts = {target: file.read_text(encoding="utf-8") for target, file in files.items()}
    said = {"kind": plugin.kind_words, "where": plugin.named_by.lower()}
    rows = []
    for name, meaning in _RENAMED.items():
        placeholder = re.compile(rf"(?<!\$)\$(?:{name}\b|{{{name}}})")
        inside = [target.as_posix() for target in sorted(texts) if placeholder.search(texts[target])]
        # the table itself, and the example, are put into the README
        inside += ["README.md"] * ("README.md" not in inside)
        places = ", ".join(f"`{place}`" for place in sorted(inside))
        rows.append((f"`{values[name]}`", meaning.format(**said), places))
    return markdown_table(("name", "is", "stands in"), rows)


def _supplied(package: Path) -> tuple[Component, type[Any]]:
    """The part that a package which was just written supplies, and the class of its parameters."""
    (component,) = _module(package / "plugin.py").components()
    assert isinstance(component, Component)
    assert isinstance(component.config, str)
    module, _, name = component.config.partition(":")
    config = getattr(_module(package / f"{module.rpartition('.')[2]}.py"), name)
    assert isinstance(config, type)
    shutil.rmtree(package / "__pycache__", ignore_errors=True)
    return component, config


def _module(file: Path) -> ModuleType:
    """A module by its file, without importing its package, whose name another may have."""
    spec = importlib.util.spec_from_file_location(f"{_PACKAGE}.{file.parent.name}.{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

"""The reference, made from the catalogue and the code when the site is built (an MkDocs hook).

Only what comes with glidepath is described, whatever else is installed where the site is built.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from glidepath.registry import Catalogue, Component, Kind, Registered, load_catalogue
from glidepath.registry.cli.dispatch import BUILTIN_COMMANDS, command_parser
from glidepath.registry.describe import hooks
from glidepath.registry.describe.parameters import example, markdown_table, parameter_table, parameters
from glidepath.registry.plan.parts import Runtime
from glidepath.registry.spec.requirements import PluginsSection

SECTION = "Reference"
SECTIONS: Mapping[str, type] = {"runtime": Runtime, "plugins": PluginsSection}
FACES: Mapping[str, str] = {
    "core": "the interfaces of glidepath's own kinds of part, and the values that pass between parts. "
    "Shapes: B samples, C channels, `*spatial` any number of dimensions, L token positions, W and D the "
    "widths of a token's vector and of the pooled one, N timesteps.",
    "registry": "what a plugin describes its parts with, and what reads, checks and assembles specs.",
    "testing": "the conformance kit, for the tests of a plugin.",
}
"""The packages whose names are public, with what each of them gives."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the generated pages into the navigation."""
    for entry in config.nav or ():
        if SECTION in entry:
            entry[SECTION] = [{title: page} for title, page, _ in pages()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    for _, page, text in pages():
        files.append(File.generated(config, page, content=text))
    return files


def pages() -> Iterator[tuple[str, str, str]]:
    """Title, path and Markdown of each page."""
    catalogue = load_catalogue(environ={}, no_plugins=True)
    yield "Parts", "reference/index.md", overview(catalogue)
    for kind in catalogue.kinds.values():
        yield kind.name, f"reference/{kind.name}.md", kind_page(kind, catalogue)
    for face in FACES:
        yield f"What {face} defines", f"reference/{face}.md", face_page(face, catalogue)
    yield "Hooks of a plugin", "reference/hooks.md", hooks_page()
    yield "Sections of a spec", "reference/sections.md", sections_page()
    yield "Commands", "reference/commands.md", commands_page(catalogue)


def overview(catalogue: Catalogue) -> str:
    """What there is, in two tables."""
    kinds = [
        (f"[{kind.name}]({kind.name}.md)", kind.summary, _where(kind)) for kind in catalogue.kinds.values()
    ]
    parts = [
        (
            f"[{it.component.kind}]({it.component.kind}.md)",
            f"[{it.component.name}]({it.component.kind}.md#{it.component.name})",
            it.component.summary,
        )
        for it in catalogue.components()
    ]
    presets = [(name, preset.summary) for name, preset in catalogue.presets().items()]
    return _page(
        "# Reference",
        "Made from what the plugins that come with glidepath say of themselves. `glidepath list` and "
        "`glidepath show NAME` say the same of everything that is installed, with other people's plugins.",
        "## Kinds of part",
        markdown_table(("kind", "what it is", "in a spec"), kinds),
        "## Parts",
        markdown_table(("kind", "name", "what it is"), parts),
        "## Presets",
        markdown_table(("name", "what it is"), presets),
    )


def kind_page(kind: Kind, catalogue: Catalogue) -> str:
    """A kind: its interface, then each of its parts."""
    blocks = [f"# {kind.name}", f"{_sentence(kind.summary)} {_where(kind, sentence=True)}"]
    for registered in catalogue.components(kind.name):
        blocks += _component(registered, kind, catalogue)
    blocks += ["## Interface", f"`{kind.interface.replace(':', '.')}`", *_interface(kind.interface)]
    return _page(*blocks)


def face_page(face: str, catalogue: Catalogue) -> str:
    """The public names of a package, by the module that defines them, in the order of the package's stub."""
    package = import_module(f"glidepath.{face}")
    stub = Path(package.__file__ or "").with_suffix(".pyi").read_text(encoding="utf-8")
    blocks = [f"# What {face} defines", f"What `from {package.__name__} import ...` gives: {FACES[face]}"]
    kinds = {kind.interface.partition(":")[2]: kind.name for kind in catalogue.kinds.values()}
    names = [(node.module, alias.name) for node in _imports(stub) for alias in node.names]
    for home, group in groupby(names, key=itemgetter(0)):
        module = import_module(str(home))
        written = _written(module)
        blocks += [f"## {module.__name__}", _docstring(module)]
        for _, name in group:
            value = getattr(module, name)
            blocks += [f"### {name}", *_public_name(name, value, written.get(name), kinds.get(name, ""))]
    return _page(*blocks)


def sections_page() -> str:
    """The keys at the top of a spec that are no parts."""
    blocks = [
        "# Sections of a spec",
        "Keys at the top of a spec that name no part: `extends`, `weights`, `stages` "
        "([Writing a spec](../specs.md) explains them), and these.",
    ]
    for name, config in SECTIONS.items():
        blocks += [f"## {name}", _docstring(config), parameter_table(config)]
    return _page(*blocks)


def hooks_page() -> str:
    """What a plugin may implement, and the values that its hooks return."""
    blocks = ["# Hooks of a plugin", *_paragraphs(hooks.__doc__ or ""), "## Functions"]
    blocks.append(
        "Each is a function of the plugin's module, marked with `@hookimpl`. A plugin has `components`, and "
        "of the others those that it needs. [What registry defines](registry.md) has the values that they "
        "return."
    )
    for name, function in vars(hooks).items():
        if hasattr(function, f"{hooks.PROJECT}_spec"):
            blocks += [f"### {name}", f"`{name}{_signature(function)}`", _docstring(function, code=True)]
    return _page(*blocks)


def commands_page(catalogue: Catalogue) -> str:
    """What each command says of itself under `--help`."""
    blocks = ["# Commands", "What `glidepath COMMAND --help` prints."]
    for name in [*BUILTIN_COMMANDS, *sorted(catalogue.commands())]:
        blocks += [f"## glidepath {name}", _fence(_help(name, catalogue))]
    return _page(*blocks)


def _component(registered: Registered, kind: Kind, catalogue: Catalogue) -> Iterator[str]:
    component, config = registered.component, catalogue.config_class(registered)
    described = parameters(config)
    yield f"## {component.name}"
    yield _sentence(component.summary)
    if config is not None and (text := _docstring(config)) and text.rstrip(".") != component.summary:
        yield text
    yield parameter_table(config)
    names = {name: [catalogue.spelling(it) for it in catalogue.components(name)] for name in catalogue.kinds}
    yield "In a spec, with every default written out:"
    yield _fence(example(kind, catalogue.spelling(registered), described, names), "yaml")
    yield from _contracts(component, config)
    if component.references:
        yield "Sources:\n\n" + "\n".join(f"- {reference}" for reference in component.references)
    yield f"Built by `{component.target.replace(':', '.')}`."


def _contracts(component: Component, config: type | None) -> Iterator[str]:
    """What it provides and needs at its defaults, as other parts are checked against it."""
    try:
        default = None if config is None else config()
    except TypeError:  # a parameter is required
        return
    provides, needs = component.provided(default), component.needs(default)
    if provides:
        yield "Provides " + ", ".join(f"`{key}`" for key in sorted(provides)) + "."
    if needs:
        yield "Needs " + ", ".join(f"`{key}`" for key in sorted(needs)) + "."


def _interface(target: str) -> Iterator[str]:
    """The docstring of an interface, and of each of its public methods and properties."""
    module, _, name = target.partition(":")
    interface = getattr(import_module(module), name)
    yield _docstring(interface, code=True)
    for attribute, value in _documented(interface):
        signature = "" if isinstance(value, property) else _signature(value)
        if attribute == "__call__":
            yield "### call"
            yield f"`{signature}`"
        else:
            yield f"### {attribute}{'' if _is_abstract(value) else ' (has a default)'}"
            yield f"`{attribute}{signature}`"
        yield _docstring(value, code=True)


def _public_name(name: str, value: Any, written: tuple[str, str] | None, kind: str) -> Iterator[str]:
    """What is said of a name. written: of one that is no class and no function, its value and its text."""
    if written:
        yield f"`{name} = {written[0]}`"
        yield _prose(written[1], code=True)
        return
    if kind:
        yield f"The interface of the kind [{kind}]({kind}.md)."
    if not isinstance(value, type) or not (_is_interface(value) or issubclass(value, Exception)):
        yield f"`{name}{_signature(value).removesuffix(' -> None')}`"
    yield _docstring(value, code=True)
    for attribute, member in _documented(value) if isinstance(value, type) else ():
        signature = "" if isinstance(member, property) else _signature(member)
        has_default = inspect.isabstract(value) and not _is_abstract(member)
        yield f"#### {name}.{attribute.strip('_')}{' (has a default)' if has_default else ''}"
        yield f"`{'' if attribute == '__call__' else attribute}{signature}`"
        yield _docstring(member, code=True)


def _documented(interface: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that a class itself defines, and last how it is called."""
    called = []
    for attribute, value in vars(interface).items():
        member = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        if not (inspect.isfunction(member) or isinstance(member, property)) or not _docstring(member):
            continue
        if attribute == "__call__":
            called.append((attribute, member))
        elif not attribute.startswith("_"):
            yield attribute, member
    yield from called


def _is_abstract(value: object) -> bool:
    return bool(getattr(value, "__isabstractmethod__", False))


def _is_interface(value: type) -> bool:
    """Whether a class is there to be derived from, or to be looked like."""
    return inspect.isabstract(value) or bool(getattr(value, "_is_protocol", False))


def _imports(stub: str) -> list[ast.ImportFrom]:
    return [node for node in ast.parse(stub).body if isinstance(node, ast.ImportFrom)]


def _written(module: ModuleType) -> dict[str, tuple[str, str]]:
    """What a module assigns to its names, aliases of types among them: the value, and what is said below."""
    body = ast.parse(inspect.getsource(module)).body
    assigned: dict[str, tuple[str, str]] = {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and node.value:
            text = after.value if isinstance(after, ast.Expr) else None
            said = str(text.value) if isinstance(text, ast.Constant) else ""
            assigned[target.id] = (ast.unparse(node.value), said)
    return assigned


def _paragraphs(text: str) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n")]


def _signature(function: Callable[..., Any]) -> str:
    text = str(inspect.signature(function, eval_str=False))
    text = re.sub(r"(: |-> )'([^']+)'", r"\1\2", text)  # annotations are quoted, as texts are
    text = re.sub(r"= (NOTHING|<factory>)", "= ...", text)  # as attrs writes a default that is computed
    return text.replace("(self, ", "(").replace("(self)", "()")


def _docstring(subject: Any, *, code: bool = False) -> str:
    """The subject's own docstring, as `_prose` shows it."""
    text = inspect.cleandoc(vars(subject).get("__doc__") or "") if isinstance(subject, type) else ""
    return _prose(text or inspect.getdoc(subject) or "", code=code)


def _prose(text: str, *, code: bool = False) -> str:
    """The first paragraph as text; as the rest keeps its lines, in a block."""
    first, _, rest = inspect.cleandoc(text).partition("\n\n")
    first = " ".join(first.split()).replace("*", r"\*").replace("<", "&lt;")
    return "\n\n".join(filter(None, [first, _fence(rest) if code and rest.strip() else rest]))


def _help(name: str, catalogue: Catalogue) -> str:
    """As argparse prints it, as wide as a block of the site whatever the terminal."""
    parser = command_parser(name, catalogue)
    assert parser is not None, f"the module of the command {name} has no parser()"
    parser.formatter_class = partial(parser.formatter_class, width=100)
    return parser.format_help()


def _where(kind: Kind, *, sentence: bool = False) -> str:
    """Where a spec has a part of a kind."""
    if not kind.slot:
        return "It stands inside another part." if sentence else "inside another part"
    facts = [f"`{kind.slot}:`"]
    facts += ["a list"] * kind.many + ["required"] * kind.required
    facts += [f"`{kind.default}` unless another is named"] if kind.default else []
    facts += [] if kind.sampling else ["for training only"]
    return f"In a spec: {', '.join(facts)}." if sentence else ", ".join(facts)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _fence(text: str, language: str = "") -> str:
    return f"```{language}\n{text.strip(chr(10)).rstrip()}\n```"


def _page(*blocks: str) -> str:
    return "\n\n".join(block for block in blocks if block) + "\n"

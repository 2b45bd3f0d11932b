"""Whether a part is what its descriptor says: it is built, its parameters are read, its needs answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from importlib import import_module
from typing import Any

import attrs
import torch
from omegaconf import OmegaConf
from torch import nn

from glidepath.core.errors import GlidepathError
from glidepath.registry.assembly.build import build_part
from glidepath.registry.describe.component import Need
from glidepath.registry.describe.fields import fields
from glidepath.registry.describe.parameters import parameters
from glidepath.registry.discovery.components import NotFound
from glidepath.registry.discovery.diagnosis import part_problems
from glidepath.registry.discovery.import_errors import import_problem, import_remedy
from glidepath.registry.plan.contracts import BEFORE
from glidepath.registry.plan.parts import PartPlan, Runtime
from glidepath.registry.plan.resolved import resolved_tree
from glidepath.registry.spec.requirements import PluginsSection
from glidepath.registry.text.problems import Problems, SpecError, did_you_mean
from glidepath.registry.text.source import Source
from glidepath.registry.text.tree import node_value
from glidepath.registry.text.yaml_tree import Unreadable, read_tree
from glidepath.testing.check import CannotRun, Check, NotApplicable, check, require
from glidepath.testing.keys import provided_keys
from glidepath.testing.part import Part


@check()
def descriptor(part: Part) -> None:
    """The target can be imported; every parameter is explained, can be written, and allows its default."""
    component = part.component
    _require_installed(part)
    problems = tuple(part_problems(part.registered, part.catalogue))
    # before the target, which as a rule imports its parameters, and would be blamed for them
    require(
        not any(problem.stage == "config" for problem in problems),
        "; ".join(problem.error for problem in problems),
    )
    module, _, name = component.target.partition(":")
    try:
        target = getattr(import_module(module), name)
    except Exception as error:
        message = f"the target {component.target} cannot be imported: {import_problem(error, module)}"
        of = part.registered
        remedy = import_remedy(error, module, of.distribution, of.version)
        raise AssertionError(f"{message}; {remedy}" if remedy else message) from error
    require(callable(target), f"the target {component.target} is {target!r}, which cannot be called")
    summary = component.summary.strip()
    require("\n" not in summary, "the summary has several lines; `glidepath list` shows one")
    require(not problems, "; ".join(problem.error for problem in problems))
    config = part.catalogue.config_class(part.registered)
    unexplained = [parameter.name for parameter in parameters(config) if not parameter.doc.strip()]
    require(
        not unexplained,
        f"no meaning is given for {', '.join(unexplained)}; write metadata=doc(...) on the field",
    )


@check("descriptor")
def builds(part: Part) -> None:
    """It is built from its defaults, where they serve, and from its example, where it has one."""
    if part.no_example:
        raise CannotRun(f"its descriptor gives no example: {part.no_example}")
    try:
        defaults = part.plan({})
    except SpecError as error:
        require(
            bool(part.example),
            f"its defaults do not build it: {_first(error)}; it has no example: write "
            "Component(example={...}) with parameters that do",
        )
    else:
        if part.example:
            _build_without_memory(part, defaults)
    try:
        planned = part.planned
    except SpecError as error:
        if (first := _first(error)).endswith("is not installed"):
            raise CannotRun(f"a part inside it cannot be built here: {first}") from error
        raise AssertionError(f"its example is refused: {first}") from error
    built = part.build()
    require(
        isinstance(built, part.interface),
        f"{part.component.target} built a {type(built).__qualname__}, which is no {part.interface.__name__}",
    )
    _require_answers(planned)


@check("builds")
def config_round_trip(part: Part) -> None:
    """Its parameters, held by OmegaConf, written as YAML and read again, are what they were."""
    planned = part.planned
    if planned.config is None:
        raise NotApplicable("it has no parameters")
    written = _values(planned)
    text = OmegaConf.to_yaml(OmegaConf.create(dict(written)))
    _require_same(planned, part.plan(_read(text)), "written as YAML and read again")


@check("builds")
def unknown_key(part: Part) -> None:
    """A parameter that it does not have is refused, in a spec and by its config class."""
    name = "no_such_parameter"
    try:
        part.plan({**part.example, name: 1})
    except SpecError as error:
        names_it = name in str(error)
    else:
        names_it = False
    require(names_it, "a spec with a parameter that it does not have is not refused")
    config = part.planned.config
    if config is None:
        return
    values = {
        (field.alias or field.name): getattr(config, field.name)
        for field in attrs.fields(type(config))
        if field.init
    }
    try:
        type(config)(**values, **{name: 1})
    except TypeError:
        return
    raise AssertionError(f"{type(config).__name__}(..., {name}=1) is not refused; attrs would")


@check("builds")
def frozen_config(part: Part) -> None:
    """No parameter can be changed once it is read: what an image says of its making would not be true."""
    config = part.planned.config
    if config is None:
        raise NotApplicable("it has no parameters")
    changeable = [name for name, owner in _owners(config) if _can_be_set(owner, name)]
    require(
        not changeable,
        f"{', '.join(changeable)} of {type(config).__name__} can be changed; write @attrs.frozen",
    )


@check("builds")
def needs(part: Part) -> None:
    """What it needs is what some part provides, and is said of a parameter that it has."""
    stated = part.component.needs(part.planned.config)
    provided = provided_keys(part.catalogue)
    config = part.catalogue.config_class(part.registered)
    names = list(fields(config)) if config is not None else []
    wrong = []
    for key, need in stated.items():
        bare = key.removeprefix(BEFORE)
        if bare not in provided:
            hint = did_you_mean(bare, provided) or f"known are {', '.join(sorted(provided))}"
            wrong.append(f"it needs {key!r}, which no part provides that is installed; {hint}")
        if need.field and need.field not in names:
            hint = did_you_mean(need.field, names) or f"it has {', '.join(names) or 'none'}"
            wrong.append(
                f"its need of {key!r} is of a parameter {need.field!r}, which it does not have; {hint}"
            )
    require(not wrong, "; ".join(wrong))


def _require_installed(part: Part) -> None:
    """Raises CannotRun where a module that it requires is missing, and fails where it cannot be used here."""
    try:
        part.catalogue.find(part.component.kind, part.registered.full_name)
    except NotFound as unknown:
        if part.component.requires and "not installed" in unknown.what:
            raise CannotRun(f"{unknown.what}: {unknown.hint}") from unknown
        raise AssertionError(unknown.what) from unknown


def _build_without_memory(part: Part, planned: PartPlan) -> None:
    """Build from the defaults; of networks, which may be large, the shapes alone, as `plan` does."""
    is_network = issubclass(part.interface, nn.Module)
    try:
        with torch.device("meta") if is_network else nullcontext():
            build_part(planned, part.catalogue, load=False)
    except GlidepathError:
        return  # it says itself what is missing, and the example has it
    except (NotImplementedError, RuntimeError) as error:
        if "meta" not in str(error):
            raise


def _require_answers(planned: PartPlan) -> None:
    """provides and needs answer for a config that is right."""
    component, config = planned.registered.component, planned.config
    provided = planned.provided()
    require(
        isinstance(provided, Mapping) and all(isinstance(key, str) for key in provided),
        f"provides(config) returned {provided!r}, which is no mapping of keys to values",
    )
    needs = component.needs(config)
    require(
        isinstance(needs, Mapping) and all(isinstance(need, Need) for need in needs.values()),
        f"needs(config) returned {needs!r}, which is no mapping of keys to Need",
    )


def _values(planned: PartPlan) -> Mapping[str, Any]:
    """Every parameter of a part as a spec would write it, inner parts and defaults too."""
    tree: dict[str, Any] = resolved_tree({"part": planned}, Runtime(), None, PluginsSection(), str)["part"]
    return {name: value for name, value in tree.items() if name not in ("use", "weights")}


def _owners(config: Any) -> Iterator[tuple[str, Any]]:
    """Every parameter of a config object and of those inside it, with the object that has it."""
    for field in attrs.fields(type(config)):
        yield field.name, config
        inner = getattr(config, field.name)
        if attrs.has(type(inner)):
            yield from _owners(inner)


def _can_be_set(owner: Any, name: str) -> bool:
    try:
        setattr(owner, name, getattr(owner, name))
    except AttributeError:  # attrs.exceptions.FrozenInstanceError is one
        return False
    return True


def _read(text: str) -> Mapping[str, Any]:
    problems = Problems()
    try:
        tree = read_tree(Source("YAML", None, text), problems)
    except Unreadable:
        tree = None
    require(
        tree is not None and not len(problems), f"its parameters cannot be read as YAML: {problems.error()}"
    )
    assert tree is not None
    values: dict[str, Any] = node_value(tree)
    return values


def _require_same(before: PartPlan, after: PartPlan, how: str) -> None:
    """Two plans have the same parameters, inside as well."""
    changed = [
        f"{path} was {one!r} and is {other!r}"
        for (path, one), (_, other) in zip(_configs(before, ""), _configs(after, ""), strict=True)
        if one != other
    ]
    require(not changed, f"{how}: {'; '.join(changed)}")


def _configs(planned: PartPlan, path: str) -> Iterator[tuple[str, object]]:
    """Every value of every config, by path."""
    config = planned.config
    for field in attrs.fields(type(config)) if config is not None else ():
        yield f"{path}{field.name}", getattr(config, field.name)
    for name, inner in planned.parts.items():
        for index, config in enumerate(inner if isinstance(inner, tuple) else (inner,)):
            yield from _configs(config, f"{path}{name}[{index}].")


def _first(error: SpecError) -> str:
    return error.problems[0].what


CHECKS: tuple[Check, ...] = (descriptor, builds, config_round_trip, unknown_key, frozen_config, needs)

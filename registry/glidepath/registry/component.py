"""How a plugin describes its parts. Plain data, made without importing an implementation or torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

API_VERSION = "1.0"
"""The version of the interfaces in `glidepath.core` and of these descriptors; see `Component.api`."""

PART = "glidepath.part"
MANY = "glidepath.many"
DOC = "glidepath.doc"


def doc(text: str) -> dict[str, object]:
    """Field metadata: what a parameter means, with its unit and range."""
    return {DOC: text}


def part(kind: str, text: str) -> dict[str, object]:
    """Field metadata: this parameter is itself a part of `kind`, written and checked as a slot is.

    The config object holds None in its place; the built part reaches the constructor as a keyword argument.
    """
    return {DOC: text, PART: kind}


def parts(kind: str, text: str) -> dict[str, object]:
    """Field metadata: this parameter is a list of parts of `kind`."""
    return {DOC: text, PART: kind, MANY: True}


@attrs.frozen(kw_only=True)
class Extra:
    """A module that a component needs and glidepath does not install: what to import, and how to get it."""

    module: str
    install: str


@attrs.frozen(kw_only=True)
class Need:
    """A value that must fit what another part provides.

    value: what is needed; any of them, when it is a tuple. Not looked at where `test` is given.
    field: the parameter (of the needing part) that says so, for the place in the message; "" for the part.
    why: a clause that ends the message, such as "the timestep embedding is 4 x channels wide".
    optional: no fault when no part provides the key.
    test: for a need that is more than equality: takes what is provided, returns what is wrong with it, or "".
    """

    value: object = None
    field: str = ""
    why: str = ""
    optional: bool = False
    test: Callable[[Any], str] | None = None


Provides = Callable[[Any], Mapping[str, object]]
Needs = Callable[[Any], Mapping[str, Need]]


def _nothing(_config: object) -> dict[str, Any]:
    return {}


@attrs.frozen(kw_only=True)
class Component:
    """One part that a plugin supplies.

    kind: "sampler", "denoiser", ... or a kind that a plugin adds.
    name: lower-case words joined by hyphens; unique within its distribution and kind.
    target: "package.module:Class", imported only at assembly; called with the config and the nested parts.
    config: an attrs class, or "package.module:Class" naming one in a torch-free module; None for none.
    summary: one line.
    api: the versions of `glidepath.registry.component.API_VERSION` that it works with.
    requires: modules from outside that it needs.
    provides: config -> values by key ("text.width", "prediction.learned_variance").
    needs: config -> what it needs of other parts, by the same keys; "before.KEY" is needed of a part that
        stands earlier in the same list.
    check: config -> faults that attrs validators of single fields cannot see, as (field, message) pairs.
    references: where it comes from (paper, section, equation).
    """

    kind: str
    name: str
    target: str
    config: type | str | None = None
    summary: str
    api: str = ">=1,<2"
    requires: Sequence[Extra] = ()
    provides: Provides = _nothing
    needs: Needs = _nothing
    check: Callable[[Any], Sequence[tuple[str, str]]] = lambda _config: ()
    references: Sequence[str] = ()


@attrs.frozen(kw_only=True)
class Kind:
    """A kind of part.

    interface: "package.module:Class" that a built part must be an instance of; imported only at assembly.
    slot: the top-level key of a spec that holds it; "" for a kind that only occurs inside other parts.
    many: the slot holds a list.
    required: a spec without it is a fault.
    default: the part that stands in an absent slot, "" for none.
    sampling: whether the slot takes part in `sample`; others (training data, say) are checked and not built.
    """

    name: str
    interface: str
    summary: str
    slot: str = ""
    many: bool = False
    required: bool = False
    default: str = ""
    sampling: bool = True


@attrs.frozen(kw_only=True)
class Preset:
    """A spec that ships with a plugin, by name."""

    name: str
    file: Path
    summary: str


@attrs.frozen(kw_only=True)
class Command:
    """A command that a plugin adds to `glidepath`.

    target: "package.module:function", imported when the command runs; called with the remaining arguments
        (list of str), returns the exit status.
    """

    name: str
    target: str
    summary: str

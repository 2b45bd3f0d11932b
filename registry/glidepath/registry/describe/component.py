"""How a plugin describes its parts. Plain data, made without importing an implementation or torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

API_VERSION = "0.1"
"""The version of the interfaces in `glidepath.core` and of these descriptors: the first two numbers of
the version of glidepath. A plugin says in its dependencies which versions of glidepath it works with."""

PART = "glidepath.part"
MANY = "glidepath.many"
DOC = "glidepath.doc"
ASSET = "glidepath.asset"
FREE = "glidepath.free"
UNBOUNDED = "glidepath.unbounded"

RESERVED = ("use", "weights")
"""Keys of a part in a spec that are no parameters: no field of a config has such a name."""


def doc(text: str, *, free: bool = False, unbounded: bool = False) -> dict[str, object]:
    """Field metadata: what a parameter means, with its unit and range.

    free: trained weights mean the same under any value of it (a dropout, say). Of any other parameter a
        spec is warned that has another value than its weights were trained with.
    unbounded: a float that may be .inf, as a bound that bounds nothing; others are finite.
    """
    return {DOC: text, FREE: free, UNBOUNDED: unbounded}


def asset(text: str) -> dict[str, object]:
    """Field metadata: a `Path` to a file or folder that the part reads, such as its vocabulary.

    A spec writes an address, as of weights: a path, `package:`, `hub:`, with a `sha256`. The config object
    holds the path on this machine. What is in it is recorded with each image and lock, file by file, those
    of a folder too: name the file where a folder holds more than is read.
    """
    return {**doc(text), ASSET: True}


def part(kind: str, text: str) -> dict[str, object]:
    """Field metadata: this parameter is itself a part of `kind`, written and checked as a slot is.

    The config object holds None in its place; the built part reaches the constructor as a keyword argument.
    """
    return {**doc(text), PART: kind}


def parts(kind: str, text: str) -> dict[str, object]:
    """Field metadata: this parameter is a list of parts of `kind`."""
    return {**part(kind, text), MANY: True}


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
    optional: no problem when no part provides the key.
    test: for a need that is more than equality: takes what is provided, returns what is wrong with it, or "".
    """

    value: object = None
    field: str = ""
    why: str = ""
    optional: bool = False
    test: Callable[[Any], str] | None = None


Inner = Mapping[str, Any]
"""What the parts inside a part provide, by parameter: a mapping, or a tuple of them where it takes a list. A
parameter without a part is absent."""

Provides = Callable[[Any], Mapping[str, object]] | Callable[[Any, Inner], Mapping[str, object]]
Needs = Callable[[Any], Mapping[str, Need]]
Lacks = Callable[[Any], Sequence[tuple[str, str]]]


def _nothing(_config: object) -> dict[str, Any]:
    return {}


@attrs.frozen(kw_only=True)
class Component:
    """One part that a plugin supplies.

    kind: "sampler", "denoiser", ... or a kind that a plugin adds.
    name: lower-case words joined by hyphens; unique within its distribution and kind.
    target: "package.module:Class", imported only at assembly; called with the config and the nested parts.
    config: "package.module:Class", an attrs class in a torch-free module, imported where its parameters are
        read; None for none. The class itself serves too, and every command then waits until it is made.
    summary: one line.
    requires: modules from outside that it needs.
    provides: config -> values by key ("text.width", "prediction.learned_variance"); or (config, inner) ->
        values, for a part that is made of others: inner is what those provide (`Inner`). A part of the same
        kind inside it does not answer for it.
    needs: config -> what it needs of other parts, by the same keys; "before.KEY" is needed of a part that
        stands earlier in the same list.
    check: config -> problems that attrs validators of single fields cannot see, as (field, message) pairs.
    lacks: config -> what must yet be given before the part can do its work, as (field, message) pairs: a
        file of words, say; or what is doubtful of it. It is no problem of a spec, and `glidepath check` warns
        of it. The field "weights" stands for the weights of a network, and is told only where a spec names
        none for it.
    references: where it comes from (paper, section, equation).
    example: parameters, as a spec writes them, with which it can be tried in a moment: for a part that has no
        working defaults, or large ones. The conformance kit (`glidepath.testing`) builds it so. A function
        stands for a part that reads files: it writes them into the folder that it is given, and returns the
        parameters. A text says why none can be given, such as a file that does not come with it.
    neutral: of a guidance: the parameters, laid over the example, with which it changes nothing; None where
        there are none.
    """

    kind: str
    name: str
    target: str
    config: type | str | None = None
    summary: str
    requires: Sequence[Extra] = ()
    provides: Provides = _nothing
    needs: Needs = _nothing
    check: Callable[[Any], Sequence[tuple[str, str]]] = lambda _config: ()
    lacks: Lacks = lambda _config: ()
    references: Sequence[str] = ()
    example: Mapping[str, object] | Callable[[Path], Mapping[str, object]] | str = attrs.field(factory=dict)
    neutral: Mapping[str, object] | None = None

    def provided(self, config: object, inner: Inner = MappingProxyType({})) -> Mapping[str, object]:
        """What it provides with this config and these inner parts. Raises as its `provides` does."""
        provides: Any = self.provides
        return dict(provides(config, inner) if len(signature(provides).parameters) > 1 else provides(config))


@attrs.frozen(kw_only=True)
class Kind:
    """A kind of part.

    interface: "package.module:Class" that a built part must be an instance of; imported only at assembly.
    slot: the top-level key of a spec that holds it; "" for a kind that only occurs inside other parts.
    many: the slot holds a list.
    required: a spec without it is a problem.
    default: the part that stands in an absent slot, "" for none.
    sampling: whether the slot takes part in `sample`; others (training data, say) are checked and not built.
    instead_of: the slots in whose place its part stands, ("schedule", "denoiser", "sampler") at the least: a
        spec that has it has none of theirs. Its interface derives from `glidepath.core.Generator`.
    template: a folder of files from which `glidepath new-plugin` writes a package that supplies such a part
        (glidepath.plugins.scaffold.package says how); None for none.
    """

    name: str
    interface: str
    summary: str
    slot: str = ""
    many: bool = False
    required: bool = False
    default: str = ""
    sampling: bool = True
    instead_of: Sequence[str] = ()
    template: Path | None = None


@attrs.frozen(kw_only=True)
class Preset:
    """A spec that ships with a plugin, by name.

    default: whether commands use it where no spec is named. Glidepath's own counts before that of others.
    """

    name: str
    file: Path
    summary: str
    default: bool = False


@attrs.frozen(kw_only=True)
class Command:
    """A command that a plugin adds to `glidepath`.

    target: "package.module:function", imported when the command runs; called with the remaining arguments
        (list of str), returns the exit status. Where its module has a function `parser()` that returns an
        ArgumentParser, shells complete its arguments.
    makes_weights: what it makes files of weights from ("from data"); "" where it makes none. Messages name it
        where those of a spec are missing.
    weights_of: the names of the components whose weights it makes; of any where there are none.
    reads: keys at the top of the files that it reads, which are no specs. Where a spec has several of them, a
        message names the command.
    """

    name: str
    target: str
    summary: str
    makes_weights: str = ""
    weights_of: Collection[str] = ()
    reads: Sequence[str] = ()

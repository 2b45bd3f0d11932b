"""Specs as a browser sends them: read with a stranger's rights, checked, planned, and held beside others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.page.editing import REMOVED, edited
from glidepath.registry import (
    Catalogue,
    NotFound,
    Override,
    Place,
    Plan,
    Problem,
    Registered,
    Spec,
    SpecError,
    doubts,
    fields,
    generator_slots,
    join_path,
    make_plan,
    parse_spec,
    plain_value,
    yaml_text,
)

NAME = "spec"
"""What places call the text of the browser."""

AXES = "the axes"
"""What places call the changes of a variant."""

MOST_TEXT = 100_000


@attrs.frozen
class Put:
    """A value that a variant has at a path; None removes the part there.

    drop_unknown: when a part gives way to another, parameters that the new one does not have go, too.
    """

    path: str
    value: Any
    drop_unknown: bool = False


class Specs:
    """Reads specs of a browser.

    Such a text may extend presets, and the files that the server was started with; of files it names none,
    but those of packages (`package:`), and nothing of a hub. models: the slots of what makes x, one of which
    a spec without stages has.
    """

    def __init__(self, catalogue: Catalogue, files: Sequence[Path] = ()) -> None:
        self.catalogue = catalogue
        self.files = {file.name: file for file in files}
        self.models = ("denoiser", *generator_slots(catalogue.slots))
        self.bases: Mapping[str, str | Path] = {
            **{name: name for name in catalogue.presets()},
            **{name: file.resolve() for name, file in self.files.items()},
        }

    def first(self) -> str:
        """The text that a page begins with."""
        if self.files:
            return f"extends: {next(iter(self.files))}\n"
        try:
            return f"extends: {self.catalogue.default_preset()}\n"
        except NotFound:
            return ""

    def read(self, text: str, changes: Sequence[Put] = ()) -> Spec:
        """A text as a spec, with values put at paths of it as a study does. Raises as `parse_spec` does."""
        if not isinstance(text, str) or len(text) > MOST_TEXT:
            raise GlidepathError(f"a spec is a text of at most {MOST_TEXT:,} characters")
        # first what it extends: what the text says itself, and the other changes, stand on that
        for it in changes:
            if it.path == "extends" and it.value is not None:
                text = edited(text, it.path, it.value, {})
        puts = [
            Override(f"{it.path}={yaml_text(it.value)}", AXES, trusted=False, drop_unknown=it.drop_unknown)
            for it in changes
            if it.path != "extends" or it.value is None
        ]
        return parse_spec(text, NAME, puts, catalogue=self.catalogue, untrusted=True, bases=self.bases)

    def plan(self, text: str, changes: Sequence[Put] = (), *, need_weights: bool = False) -> Plan:
        """The plan of a text, with values put at paths of it.

        Raises:
            SpecError: with every problem of it.
        """
        return self.plan_of(self.read(text, changes), need_weights=need_weights)

    def plan_of(self, spec: Spec, *, need_weights: bool = False) -> Plan:
        """The plan of a spec that `read` gave. Raises as `plan` does."""
        refused = list(_of_hubs(spec))
        try:
            plan = make_plan(spec, self.catalogue, need_weights=need_weights)
        except SpecError as error:
            raise SpecError([*error.problems, *refused]) from error
        if refused:
            raise SpecError(refused)
        return plan

    def check(self, text: str) -> dict[str, Any]:
        """What is wrong with a text, and what it stands for, for the form.

        problems, warnings: what, path, line and column of the text itself (0 elsewhere), file, hint, allowed.
        tree: the values of the spec and of what it extends, as they are written. resolved: with every
        default, where there is no problem. sources: where each value of the tree is from.
        """
        document: dict[str, Any] = {
            "problems": [],
            "warnings": [],
            "tree": {},
            "resolved": None,
            "sources": {},
        }
        try:
            spec = self.read(text)
        except SpecError as error:
            document["problems"] = [problem_document(it) for it in error.problems]
            return document
        document["tree"] = plain_value(spec.tree, Any)
        document["sources"] = {path: _where(place) for path, place in spec.places.items()}
        try:
            plan = self.plan_of(spec)
        except SpecError as error:
            document["problems"] = [problem_document(it) for it in error.problems]
            return document
        document["resolved"] = plan.portable_tree()
        document["warnings"] = [problem_document(it) for it in doubts(plan, self.catalogue)]
        return document

    def edit(self, text: str, path: str, value: Any = REMOVED) -> str:
        """The text with another value at a path. Raises as `edited` does."""
        try:
            whole = self.read(text).tree
        except SpecError:
            whole = {}
        return edited(text, path, value, whole)

    def fits(self, text: str, path: str, kind: str) -> dict[str, str]:
        """Why each part of a kind does not fit at a path, "" for one that does.

        What a part yet needs to be told, as a parameter without a default, is no reason.
        """
        if kind not in self.catalogue.kinds:
            raise GlidepathError(f"there is no kind of part {kind!r}")
        reasons = {}
        for registered in self.catalogue.components(kind):
            name = self.catalogue.spelling(registered)
            reasons[name] = self._reason(self.edit(text, path, name), path, registered)
        return reasons

    def _reason(self, text: str, path: str, registered: Registered) -> str:
        try:
            self.plan(text)
        except SpecError as error:
            own = [it for it in error.problems if _concerns(it, path)]
            asked = {join_path(path, name) for name in self._required(registered)}
            reasons = [it for it in own if it.path not in asked]
            return ". ".join(filter(None, [reasons[0].what, reasons[0].hint])) if reasons else ""
        return ""

    def _required(self, registered: Registered) -> Iterator[str]:
        try:
            config = self.catalogue.config_class(registered)
        except NotFound:
            return
        if config is not None:
            yield from (name for name, field in fields(config).items() if field.required)


def problem_document(problem: Problem) -> dict[str, Any]:
    """A problem as JSON has it. Its line is 0 where it is not of the browser's text."""
    place = problem.place or Place("")
    own = place.file == NAME
    return {
        "what": problem.what,
        "path": problem.path,
        "hint": problem.hint,
        "allowed": list(problem.allowed),
        "line": place.line if own else 0,
        "column": place.column if own else 0,
        "file": "" if own else Path(place.file).name,
    }


def _where(place: Place) -> str:
    """Where a value was written, without the folders of the server."""
    if place.file == NAME:
        return "" if not place.line else f"line {place.line}"
    return Path(place.file).name


def _concerns(problem: Problem, path: str) -> bool:
    """Whether a problem is told of a part, or names it."""
    return problem.path.startswith(path) or f"{path} (" in f"{problem.what} {problem.hint}"


def _of_hubs(spec: Spec) -> Iterator[Problem]:
    """What a text of a browser would have fetched: it is for presets, and files of the server, to name."""
    for path, place in spec.places.items():
        value = _value(spec.tree, path)
        if place.file in (NAME, AXES) and isinstance(value, str) and value.strip().lower().startswith("hub:"):
            hint = "extend a preset that names it, or start the page with --spec FILE"
            yield Problem(
                what="a spec of the page fetches nothing from a hub", place=place, path=path, hint=hint
            )


def _value(tree: Any, path: str) -> Any:
    for step in path.replace("[", ".[").split("."):
        try:
            tree = tree[int(step[1:-1])] if step.startswith("[") else tree[step]
        except (LookupError, TypeError, ValueError):
            return None
    return tree

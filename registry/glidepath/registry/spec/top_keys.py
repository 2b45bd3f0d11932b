"""Which keys a spec, a cascade and a stage have at their top: slots, and sections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from glidepath.registry.describe.fields import SECTIONS, STAGE_SECTIONS, Slot
from glidepath.registry.spec.positions import Schema, owner, used
from glidepath.registry.text.problems import Problems, did_you_mean, quoted
from glidepath.registry.text.tree import ListNode, MappingNode, Node, join_path, present

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue

_LONGEST_NAME = 200
_MOST_PATHS = 3
_OF_AN_IMAGE = {
    "seed": "the seed of an image is given on the command line, --seed N",
    "prompt": 'a prompt is given on the command line, glidepath sample "PROMPT"',
    "prompts": 'prompts are given on the command line, glidepath sample "PROMPT" "PROMPT"',
}
"""What no spec says: it says how images are made, not which."""


def command_that_reads(root: MappingNode, catalogue: Catalogue) -> tuple[str, str]:
    """The command whose file this is, and no spec, with the first key by which that is seen; "" for none."""
    for name, command in catalogue.commands().items():
        keys = [key for key in root.items if key in command.reads and key not in catalogue.slots]
        if len(keys) > 1:
            return name, keys[0]
    return "", ""


def check_spec_keys(root: MappingNode, catalogue: Catalogue, problems: Problems) -> None:
    """Report what is neither a slot nor a section at the top of a spec without stages."""
    _check_known(root, "", SECTIONS, catalogue, problems)


def check_cascade_keys(root: MappingNode, catalogue: Catalogue, problems: Problems) -> None:
    """The same of a cascade, whose parts stand in stages, not beside them."""
    stages = root.get("stages")
    named = stages.items.items() if isinstance(stages, MappingNode) else ()
    slots = {key for key, entry in root.items.items() if key in catalogue.slots}
    for key in slots:
        if present(root.get(key)) is not None:
            what = f"a cascade has no {key} of its own: each of its stages has one"
            there = " or ".join(f"`{join_path('stages', name)}.{key}`" for name, _ in named) or "a stage"
            hint = f"write it as {there}; `stages` is written at {root.items['stages'].key}"
            problems.add(what, root.items[key].key, key, hint)
    others = {key: entry for key, entry in root.items.items() if key not in slots}
    homes = {join_path("stages", name): entry.node for name, entry in named}
    _check_known(MappingNode(others, root.place, root.source), "", SECTIONS, catalogue, problems, homes)


def check_stage_keys(stage: MappingNode, path: str, catalogue: Catalogue, problems: Problems) -> None:
    """The same of a stage, which stands at `path` and has few sections of its own."""
    others = dict(stage.items)
    reasons = {
        "runtime": ("a stage has no runtime of its own", "write it at the top of the cascade"),
        "plugins": ("a stage has no plugins of its own", "write it at the top of the cascade"),
        "stages": ("a stage is no cascade itself", "write its stages beside the others"),
        "extends": ("extends cannot be set", "write it in a file"),
    }
    for key, (what, hint) in reasons.items():
        entry = others.pop(key, None)
        if entry is not None and present(entry.node) is not None:
            problems.add(what, entry.key, join_path(path, key), hint)
    _check_known(MappingNode(others, stage.place, stage.source), path, STAGE_SECTIONS, catalogue, problems)


def _check_known(
    root: MappingNode,
    path: str,
    sections: Sequence[str],
    catalogue: Catalogue,
    problems: Problems,
    homes: Mapping[str, Node] = MappingProxyType({}),
) -> None:
    """homes: where else the parts stand whose parameter a key may be, by dotted path."""
    known = [*catalogue.slots, *sections]
    strangers = {key: entry for key, entry in root.items.items() if key not in known}
    parameters = _parameters({path: root, **homes}, catalogue) if strangers else {}
    for key, entry in strangers.items():
        hint = _where_it_belongs(key, parameters) or did_you_mean(key[:_LONGEST_NAME], known)
        slot, dot, inner = key.partition(".")
        if dot and slot in known:
            hint = f"nest it: {slot}: {{{inner}: ...}}"
        if not hint and key in catalogue.kinds:
            hint = f"a {key} stands inside another part"
        if not hint:
            hint = "; ".join(
                f"the {record.title} failed to load and may add it: {record.error}"
                for record in catalogue.failures
            )
        what = f"a {'stage' if path else 'spec'} has no {quoted(key)}"
        problems.add(what, entry.key, join_path(path, key), hint, known)


def _where_it_belongs(key: str, parameters: Mapping[str, Sequence[str]]) -> str:
    """A hint for a key that is a parameter of a part below, or that no spec says; "" for others."""
    paths = parameters.get(key, ())[:_MOST_PATHS]
    meant = f"did you mean {' or '.join(map(repr, paths))}?" if paths else ""
    return "; ".join(filter(None, (_OF_AN_IMAGE.get(key, ""), meant)))


def _parameters(homes: Mapping[str, Node], catalogue: Catalogue) -> Mapping[str, Sequence[str]]:
    """The dotted paths of the parameters of parts, by their names; those that count for sampling first."""
    schema = Schema(catalogue)
    paths: defaultdict[str, list[str]] = defaultdict(list)
    for slot, kind in sorted(catalogue.slots.items(), key=lambda item: not item[1].sampling):
        for path, home in homes.items():
            part = home.get(slot) if isinstance(home, MappingNode) else None
            items = part.items if isinstance(part, ListNode) else (part,)
            for index, item in enumerate(items):
                where = f"{join_path(path, slot)}[{index}]" if kind.many else join_path(path, slot)
                for name in schema.fields(Slot(kind.name), used(item), owner(item)) if item else ():
                    paths[name].append(join_path(where, name))
    return paths

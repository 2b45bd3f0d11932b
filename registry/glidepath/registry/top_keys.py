"""Which keys a spec, a cascade and a stage have at their top: slots, and sections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from glidepath.registry.faults import Faults, shown
from glidepath.registry.problems import did_you_mean
from glidepath.registry.schema import SECTIONS, STAGE_SECTIONS
from glidepath.registry.tree import MappingNode, join, present

if TYPE_CHECKING:
    from glidepath.registry.catalogue import Catalogue

_LONGEST_NAME = 200


def check_spec_keys(root: MappingNode, catalogue: Catalogue, faults: Faults) -> None:
    """Report what is neither a slot nor a section at the top of a spec without stages."""
    _check_known(root, "", SECTIONS, catalogue, faults)


def check_cascade_keys(root: MappingNode, catalogue: Catalogue, faults: Faults) -> None:
    """The same of a cascade, whose parts stand in stages, not beside them."""
    slots = {key for key, entry in root.items.items() if key in catalogue.slots}
    for key in slots:
        if present(root.get(key)) is not None:
            what = f"a cascade has no {key} of its own: each of its stages has one"
            hint = f"write it in a stage; `stages` is written at {root.items['stages'].key}"
            faults.add(what, root.items[key].key, key, hint)
    others = {key: entry for key, entry in root.items.items() if key not in slots}
    _check_known(MappingNode(others, root.place, root.source), "", SECTIONS, catalogue, faults)


def check_stage_keys(stage: MappingNode, path: str, catalogue: Catalogue, faults: Faults) -> None:
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
            faults.add(what, entry.key, join(path, key), hint)
    _check_known(MappingNode(others, stage.place, stage.source), path, STAGE_SECTIONS, catalogue, faults)


def _check_known(
    root: MappingNode, path: str, sections: Sequence[str], catalogue: Catalogue, faults: Faults
) -> None:
    known = [*catalogue.slots, *sections]
    for key, entry in root.items.items():
        if key not in known:
            hint = did_you_mean(key[:_LONGEST_NAME], known)
            if not hint and key in catalogue.kinds:
                hint = f"a {key} stands inside another part"
            if not hint:
                hint = "; ".join(
                    f"the {record.title} failed to load and may add it: {record.error}"
                    for record in catalogue.failures
                )
            what = f"a {'stage' if path else 'spec'} has no {shown(key)}"
            faults.add(what, entry.key, join(path, key), hint, known)

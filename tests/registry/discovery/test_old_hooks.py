"""A hook of an earlier release that a plugin still implements."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from glidepath.registry.describe import hooks
from glidepath.registry.describe.kinds import CORE_KINDS
from glidepath.registry.discovery.loading import load, plugin_manager
from glidepath.registry.discovery.scan import scan


def test_a_hook_that_is_to_go_is_warned_of_with_its_place(site: Any) -> None:
    notice = DeprecationWarning("parts() is deprecated: write components(); goes in 0.3")
    outdated = SimpleNamespace(parts=hooks.hookspec(lambda: (), warn_on_impl=notice))
    file = site.plugin(
        "acme", "@hookimpl\ndef components():\n    return ()\n\n@hookimpl\ndef parts():\n    return ()\n"
    )
    manager = plugin_manager()
    manager.add_hookspecs(outdated)
    plugins, _ = load(scan(site.path).plugins, (), manager, CORE_KINDS)
    (record,) = [it.record for it in plugins if it.record.distribution == "acme"]
    assert record.stage == "ok"
    assert record.warnings == (f"{file}:7: parts() is deprecated: write components(); goes in 0.3",)

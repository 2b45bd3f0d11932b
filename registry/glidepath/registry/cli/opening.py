"""The arguments that several commands take, and what they open: the catalogue, and the plan of a spec."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING

from glidepath.registry.cli.arguments import OptionalFile, key_value
from glidepath.registry.cli.printing import warn_once
from glidepath.registry.discovery.catalogue import Catalogue, load_catalogue

if TYPE_CHECKING:
    from glidepath.registry.plan.plan import Plan
    from glidepath.registry.spec.overrides import Override


def add_plugin_switches(parser: argparse.ArgumentParser) -> None:
    """`--strict` and `--no-plugins`, as `open_catalogue` reads them. Every command takes them."""
    parser.add_argument("--strict", action="store_true", help="a plugin that fails is an error")
    parser.add_argument(
        "--no-plugins", action="store_true", help="load no plugins but those that come with glidepath"
    )


def add_spec_arguments(parser: argparse.ArgumentParser) -> None:
    """SPEC, `--set` and `--allow-env`, as `open_plan` reads them."""
    parser.add_argument("spec", metavar="SPEC", help="a YAML file, or the name of a preset")
    add_spec_options(parser)


def add_spec_options(parser: argparse.ArgumentParser) -> None:
    """What changes the reading of a spec: `--set`, `--allow-env`."""
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        type=key_value,
        dest="overrides",
        action="append",
        default=[],
        help="change a value, such as sampler.steps=50 or guidance[0].scale=3; may be repeated",
    )
    parser.add_argument(
        "--allow-env", action="store_true", help="let the spec read environment variables: ${oc.env:NAME}"
    )


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """`--weights`, `--device`, `--dtype`: short forms of `--set`."""
    parser.add_argument("--weights", metavar="FILE", help="weights in place of the spec's own")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1, mps (default: as the spec says)")
    parser.add_argument("--dtype", help="auto, float32, bfloat16, float16 (default: as the spec says)")


def add_locked_option(parser: argparse.ArgumentParser) -> None:
    """`--locked [FILE.json]`: `open_plan` then refuses a plan that is not as its lock has it."""
    parser.add_argument(
        "--locked",
        action=OptionalFile,
        suffix=".json",
        metavar="FILE.json",
        help="refuse to run unless all is as the lock has it that `glidepath lock` wrote (default: "
        "NAME.lock.json beside the spec)",
    )


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def open_catalogue(
    arguments: argparse.Namespace, *, allow: Collection[str] | None = None, deny: Collection[str] = ()
) -> Catalogue:
    """The catalogue under a command's `--no-plugins` and `--strict`. Warns of a switch that names nothing.

    allow, deny: the only plugins to load, and those not to load, as a spec's `plugins` section says.

    Raises:
        PluginFailures: a plugin fails, and the command is strict.
    """
    # What a plugin prints while it is imported must not end up in a --json document.
    with contextlib.redirect_stdout(sys.stderr):
        catalogue = load_catalogue(no_plugins=arguments.no_plugins, allow=allow, deny=deny)
    for warning in catalogue.warnings:
        warn_once(warning)
    if arguments.strict:
        catalogue.require_working()
    return catalogue


def device_overrides(arguments: argparse.Namespace) -> list[Override]:
    """What `add_device_options` read, or a command's own `--device`, as overrides."""
    from glidepath.registry.spec.overrides import option_override

    keys = {"runtime.device": "device", "runtime.dtype": "dtype", "weights": "weights"}
    given = {key: (option, getattr(arguments, option, None)) for key, option in keys.items()}
    return [
        option_override(key, f"--{option}", value)
        for key, (option, value) in given.items()
        if value is not None
    ]


def open_plan(arguments: argparse.Namespace, *, need_weights: bool = False) -> tuple[Catalogue, Plan]:
    """The plan of the spec that a command was given, and the catalogue under that spec's `plugins` section.

    arguments: as `add_spec_arguments` and `add_plugin_switches` declare them; a spec that is None becomes the
        default preset. That of `add_locked_option` may be among them: the plan is then held against its lock.
        So may `--device`, `--dtype` and `--weights`, which stand for overrides.
    need_weights: whether a file of weights that is not there is a problem.

    Raises:
        SpecError: the spec has problems; every one of them is listed.
        PluginFailures: a plugin fails, and the command is strict.
        LockError: under `--locked`, something is not as the lock has it, or there is no lock.
    """
    from glidepath.registry.plan.planner import make_plan
    from glidepath.registry.spec.spec import plugin_switches, read_spec

    if arguments.spec is None:
        arguments.spec = open_catalogue(arguments).default_preset()
    locked = getattr(arguments, "locked", None)
    overrides = [*arguments.overrides, *device_overrides(arguments)]
    switches = plugin_switches(arguments.spec, overrides)
    catalogue = open_catalogue(arguments, allow=switches.allow, deny=switches.deny)
    spec = read_spec(arguments.spec, overrides, catalogue=catalogue, allow_env=arguments.allow_env)
    plan = make_plan(spec, catalogue, need_weights=need_weights)
    if locked is not None:
        from glidepath.registry.records.lock import lock_file, require_locked

        require_locked(plan, catalogue, lock_file(arguments.spec, locked), arguments.spec)
    return catalogue, plan

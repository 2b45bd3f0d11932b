"""The command `glidepath`. Each of its commands is a module, imported when it runs."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from glidepath.core.errors import GlidepathError
from glidepath.registry.cli.arguments import Parser
from glidepath.registry.cli.telling import tell_error, warn_once
from glidepath.registry.text.problems import SpecError, did_you_mean

COMMANDS = {
    "list": "the parts and presets that are installed",
    "show": "one part: its parameters, where it comes from, how a spec names it",
    "plugins": "the plugins that are installed, and what is wrong with those that fail",
    "check": "whether a spec is right; every fault, with its place",
    "plan": "what a spec stands for: each part and parameter, and what an image costs",
    "sample": "make images from prompts",
    "replay": "make an image again from what it carries",
    "lock": "write down what a spec stands for here: versions, files, weights",
    "diff": "what differs between two specs, locks or images, part by part",
    "schema": "a JSON Schema of specs, with which editors complete and check them",
    "completion": "what makes a shell complete commands, options, presets and parts",
    "test-plugin": "whether the parts of an installed plugin keep their contracts",
    "new-plugin": "write a plugin package of your own, complete and working",
}

_BRIEF = frozenset({"check", "completion", "list", "plugins", "show"})
"""Commands that end before they make garbage worth looking for; what they make at all is mostly modules."""

EXAMPLES = """\
examples:
  glidepath list sampler
  glidepath show sampler/ddim
  glidepath check my.yaml
  glidepath plan my.yaml --set sampler.steps=50
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0 done; 1 an error; 2 a spec with faults, or wrong arguments; 130 interrupted.
    """
    if argv is not None:
        return _status(list(argv))
    arguments = sys.argv[1:]
    if next((word for word in arguments if not word.startswith("-")), "") not in _BRIEF:
        return _status(arguments)
    gc.disable()
    try:
        return _status(arguments)
    finally:
        gc.freeze()  # the process ends, and would look through all of it once more


def _status(arguments: list[str]) -> int:
    warn_once.cache_clear()
    try:
        return _main(arguments)
    except SpecError as error:
        print("\n".join(problem.render() for problem in error.problems), file=sys.stderr)
        return 2
    except GlidepathError as error:
        tell_error(error)
        return 1
    except KeyboardInterrupt:
        print("glidepath: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe has gone (`glidepath list | head`); without this, Python complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except SystemExit as stop:  # argparse has said what is wrong; a plugin's command may end so
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)


def module_of(name: str) -> str:
    """The module of this package that holds a command."""
    # None may be called `list`: it would hide the builtin here.
    return "listing" if name == "list" else name.replace("-", "_")


def command_parser(name: str) -> argparse.ArgumentParser:
    """The arguments of one of our own commands."""
    commands = Parser(prog="glidepath").add_subparsers()
    import_module(f"{__name__}.{module_of(name)}").add_parser(commands)
    parser = commands.choices[name]
    _add_common(parser)
    return parser


def _main(arguments: list[str]) -> int:
    first = next((index for index, word in enumerate(arguments) if not word.startswith("-")), len(arguments))
    top = Parser(prog="glidepath", add_help=False, usage="glidepath [options] COMMAND ...")
    _add_common(top)
    top.add_argument("--version", action="store_true")
    top.add_argument("-h", "--help", action="store_true")
    options = top.parse_args(arguments[:first], argparse.Namespace(strict=False, no_plugins=False))
    if options.version:
        from glidepath.registry.cli.common import version

        print(f"glidepath {version()}")
        return 0
    if options.help or first == len(arguments):
        print(_help(options), file=sys.stdout if options.help else sys.stderr)
        return 0 if options.help else 2
    name, rest = arguments[first], arguments[first + 1 :]
    if name in COMMANDS:
        return _run(name, rest, options)
    return _run_plugin_command(name, rest, options)


def _run(name: str, rest: list[str], options: argparse.Namespace) -> int:
    module, parser = import_module(f"{__name__}.{module_of(name)}"), command_parser(name)
    arguments = parser.parse_args(rest)
    for option in ("strict", "no_plugins"):
        setattr(arguments, option, getattr(options, option) or getattr(arguments, option, False))
    return int(module.run(arguments))


def _add_common(parser: argparse.ArgumentParser) -> None:
    """What every command takes, before its name or behind it."""
    parser.add_argument(
        "--strict", action="store_true", default=argparse.SUPPRESS, help="a plugin that fails is an error"
    )
    parser.add_argument(
        "--no-plugins",
        action="store_true",
        default=argparse.SUPPRESS,
        help="load no plugins but those that come with glidepath",
    )


def _run_plugin_command(name: str, rest: list[str], options: argparse.Namespace) -> int:
    from glidepath.registry.cli.common import open_catalogue
    from glidepath.registry.discovery.imports import import_fault, import_remedy
    from glidepath.registry.discovery.unknown import Unknown

    catalogue = open_catalogue(options)
    try:
        supplied = catalogue.command_source(name)
    except Unknown as unknown:
        known = [*COMMANDS, *catalogue.commands()]
        hints = [did_you_mean(name, known) or f"the commands are {', '.join(known)}"]
        if unknown.hint and not unknown.hint.startswith("did you mean"):
            hints.append(unknown.hint)
        print(f"glidepath: error: {unknown.what}; {'; '.join(hints)}", file=sys.stderr)
        return 2
    module, _, function = supplied.item.target.partition(":")
    try:
        run = import_module(module)
        for attribute in function.split("."):
            run = getattr(run, attribute)
    except (ImportError, AttributeError) as error:
        record = supplied.record
        remedy = import_remedy(error, module, record.distribution, record.version)
        raise GlidepathError(
            f"the command {name!r} of the {record.title} cannot be imported from "
            f"{supplied.item.target!r}: {'; '.join(filter(None, [import_fault(error, module), remedy]))}"
        ) from error
    status = run(rest)  # type: ignore[operator]
    return int(status or 0)


def _help(options: argparse.Namespace) -> str:
    from glidepath.registry.cli.common import indent, open_catalogue, table

    catalogue = open_catalogue(argparse.Namespace(strict=False, no_plugins=options.no_plugins))
    added = [
        (spelling, f"{command.summary} ({catalogue.command_source(spelling).record.title})")
        for spelling, command in sorted(catalogue.commands().items())
    ]
    switches = [
        ("--strict", "a plugin that fails is an error"),
        ("--no-plugins", "load no plugins but those that come with glidepath"),
        ("--version", "print the version"),
        ("-h, --help", "print this; `glidepath COMMAND --help` explains one command"),
        ("GLIDEPATH_PLUGINS", "the only plugins to load, separated by commas (environment)"),
        ("GLIDEPATH_DISABLE", "plugins not to load, separated by commas (environment)"),
    ]
    rows = table([*COMMANDS.items(), *added, *switches]).splitlines()
    commands, options_ = rows[: len(COMMANDS) + len(added)], rows[len(COMMANDS) + len(added) :]
    return "\n".join(
        [
            "usage: glidepath [options] COMMAND ...",
            "",
            "Text-to-image diffusion, assembled from interchangeable parts by a YAML spec.",
            "",
            "commands:",
            indent("\n".join(commands)),
            "",
            "options:",
            indent("\n".join(options_)),
            "",
            EXAMPLES.rstrip(),
        ]
    )

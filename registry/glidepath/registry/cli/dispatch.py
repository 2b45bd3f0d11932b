"""Which command is asked for, and what its errors are told as. Each is a module, imported when it runs.

The module of a command has `parser()`, which returns its arguments, and `run(arguments)`, which returns the
exit status. A command of a plugin is a function that takes the words behind its name; where its module has a
`parser()` too, shells complete its arguments.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from typing import TYPE_CHECKING, Any

from glidepath.core.errors import GlidepathError
from glidepath.registry.cli.arguments import CommandParser
from glidepath.registry.cli.opening import add_plugin_switches, open_catalogue
from glidepath.registry.cli.printing import indent, print_error, text_table, warn_once
from glidepath.registry.describe.commands import BUILTIN_COMMANDS
from glidepath.registry.discovery.scan import DISTRIBUTION, own_version, unreadable_metadata
from glidepath.registry.files.interrupts import exit_status, sigterm_as_interrupt
from glidepath.registry.files.streams import answering, escaped, open_streams
from glidepath.registry.text.problems import SpecError, UsageError, did_you_mean

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.discovery.components import NotFound
    from glidepath.registry.discovery.plugin_record import PluginRecord

_BRIEF = frozenset({"check", "list", "plugins", "show"})
"""Commands that end before they make garbage worth looking for; what they make at all is mostly modules."""

_ASKED_FOR_WORDS = "_ARGCOMPLETE"
"""The environment variable by which a shell asks for completions, in the way of the package argcomplete."""

EXAMPLES = """\
examples:
  glidepath list sampler
  glidepath show sampler/ddim
  glidepath check my.yaml
  glidepath plan my.yaml --set sampler.steps=50
"""


def run(argv: Sequence[str] | None) -> int:
    """Run one command; returns the exit status, as `main` of the package says."""
    if argv is not None:
        with redirect_stdout(escaped(sys.stdout)), redirect_stderr(escaped(sys.stderr)):
            return _status(list(argv))
    arguments = sys.argv[1:]
    streams = open_streams(alone="--json" in arguments)
    if next((word for word in arguments if not word.startswith("-")), "") not in _BRIEF:
        return streams.finish(_status(arguments))
    gc.disable()
    try:
        return streams.finish(_status(arguments))
    finally:
        gc.freeze()  # the process ends, and would look through all of it once more


def _status(arguments: list[str]) -> int:
    warn_once.cache_clear()
    try:
        with sigterm_as_interrupt():
            return _main(arguments)
    except SpecError as error:
        print("\n".join(problem.render() for problem in error.problems), file=sys.stderr)
        return 2
    except GlidepathError as error:
        print_error(error)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt as interrupt:
        print(" ".join(["glidepath: interrupted", *getattr(interrupt, "__notes__", ())]), file=sys.stderr)
        return exit_status(interrupt)
    except OSError as error:  # of a file that no reader of ours opened: it says what the system says
        gone = isinstance(error, FileNotFoundError) and error.filename is None  # so os.getcwd says
        print_error(GlidepathError("the current folder was deleted") if gone else error)
        return 1
    except UnicodeEncodeError as error:
        print_error(GlidepathError(f"{error.object!a} holds what is no text in {error.encoding}: rename it"))
        return 1
    except Exception as error:
        if not (reason := unreadable_metadata(error)):
            raise
        print_error(GlidepathError(reason))
        return 1
    except SystemExit as stop:  # argparse has said what is wrong; a plugin's command may end so
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)


def command_parser(name: str, catalogue: Catalogue) -> argparse.ArgumentParser | None:
    """The arguments of a command; of a plugin's, those that `parser()` of its module returns, if it has that.

    Raises:
        NotFound: no command has that name.
    """
    if name in BUILTIN_COMMANDS:
        return _builtin_parser(name)
    target = catalogue.command_source(name).item.target
    parser = getattr(import_module(target.partition(":")[0]), "parser", None)
    arguments = parser() if callable(parser) else None
    return arguments if isinstance(arguments, argparse.ArgumentParser) else None


def _main(arguments: list[str]) -> int:
    first = next((index for index, word in enumerate(arguments) if not word.startswith("-")), len(arguments))
    top = CommandParser(prog="glidepath", add_help=False, usage="glidepath [options] COMMAND ...")
    add_plugin_switches(top)
    top.add_argument("--version", action="store_true")
    top.add_argument("-h", "--help", action="store_true")
    if _ASKED_FOR_WORDS in os.environ:
        return _run_of_plugin("completion", [], argparse.Namespace(strict=False, no_plugins=False))
    options = top.parse_args(arguments[:first])
    if options.version:
        print(f"glidepath {own_version()}")
        return 0
    if options.help or first == len(arguments):
        print(_help(options), file=sys.stdout if options.help else sys.stderr)
        return 0 if options.help else 2
    name, rest = arguments[first], arguments[first + 1 :]
    runs = _run_builtin if name in BUILTIN_COMMANDS else _run_of_plugin
    return runs(name, rest, options)


def _run_builtin(name: str, rest: list[str], options: argparse.Namespace) -> int:
    module, parser = _module(name), _builtin_parser(name)
    # words of a positional argument may stand behind options too: sample "a star" --seed 1 "a ring"
    arguments = parser.parse_intermixed_args(rest)
    arguments.strict |= options.strict
    arguments.no_plugins |= options.no_plugins
    return int(module.run(arguments))


def _builtin_parser(name: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _module(name).parser()
    add_plugin_switches(parser)
    return parser


def _module(name: str) -> Any:
    # None may be called `list`: it would hide the builtin here.
    return import_module(f"{__package__}.{'listing' if name == 'list' else name.replace('-', '_')}")


def _run_of_plugin(name: str, rest: list[str], options: argparse.Namespace) -> int:
    from glidepath.registry.discovery.components import NotFound
    from glidepath.registry.discovery.import_errors import import_problem, import_remedy

    catalogue = open_catalogue(options)
    try:
        supplied = catalogue.command_source(name)
    except NotFound as unknown:
        print(f"glidepath: error: {unknown.what}; {_hint(name, unknown, catalogue)}", file=sys.stderr)
        return 2
    module, _, function = supplied.item.target.partition(":")
    try:
        run: Any = import_module(module)
        for attribute in function.split("."):
            run = getattr(run, attribute)
    except (ImportError, AttributeError) as error:
        record = supplied.record
        remedy = import_remedy(error, module, record.distribution, record.version)
        raise GlidepathError(
            f"the command {name!r} of the {record.title} cannot be imported from "
            f"{supplied.item.target!r}: {'; '.join(filter(None, [import_problem(error, module), remedy]))}"
        ) from error
    # behind the rest, where those of a subcommand stand
    switches = ["--no-plugins"] if options.no_plugins and "--no-plugins" not in rest else []
    with answering():
        status = run([*rest, *switches])
    return int(status or 0)


def _hint(name: str, unknown: NotFound, catalogue: Catalogue) -> str:
    """What may be meant by the name of a command that stands for none, or for several."""
    commands = [*BUILTIN_COMMANDS, *catalogue.commands()]
    if name not in (spelling.rpartition("/")[2] for spelling in unknown.allowed):
        return did_you_mean(name, commands) or unknown.hint or "`glidepath --help` names the commands"
    return f"{unknown.hint}: {', '.join(unknown.allowed)}"


def _help(options: argparse.Namespace) -> str:
    catalogue = open_catalogue(argparse.Namespace(strict=False, no_plugins=options.no_plugins))
    added = {
        spelling: f"{command.summary}{_whose(catalogue.command_source(spelling).record)}"
        for spelling, command in sorted(catalogue.commands().items())
    }
    switches = {
        "--strict": "a plugin that fails is an error",
        "--no-plugins": "load no plugins but those that come with glidepath",
        "--version": "print the version",
        "-h, --help": "print this; `glidepath COMMAND --help` explains one command",
        "GLIDEPATH_PLUGINS": "the only plugins to load, separated by commas (environment)",
        "GLIDEPATH_DISABLE": "plugins not to load, separated by commas (environment)",
    }
    commands: Mapping[str, str] = {**BUILTIN_COMMANDS, **added}
    rows = text_table([*commands.items(), *switches.items()]).splitlines()
    return "\n".join(
        [
            "usage: glidepath [options] COMMAND ...",
            "",
            "Text-to-image diffusion, assembled from interchangeable parts by a YAML spec.",
            "",
            "commands:",
            indent("\n".join(rows[: len(commands)])),
            "",
            "options:",
            indent("\n".join(rows[len(commands) :])),
            "",
            EXAMPLES.rstrip(),
        ]
    )


def _whose(record: PluginRecord) -> str:
    """Which plugin adds a command, unless it comes with glidepath."""
    return "" if record.distribution == DISTRIBUTION else f" ({record.title})"

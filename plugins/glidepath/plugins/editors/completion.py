"""`glidepath completion`: what makes a shell complete commands, options, presets, kinds and parts.

The script of a shell runs `glidepath` for words each time, so that what is installed is what is completed.
The package argcomplete makes the script, and works out from the parsers of commands what may stand where.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from glidepath.core import GlidepathError
from glidepath.plugins.editors.completers import add_completers
from glidepath.registry import (
    BUILTIN_COMMANDS,
    Catalogue,
    CommandParser,
    add_plugin_switches,
    command_parser,
    load_catalogue,
)

EPILOG = """\
  bash   echo 'eval "$(glidepath completion bash)"' >> ~/.bashrc
  zsh    echo 'eval "$(glidepath completion zsh)"' >> ~/.zshrc     (behind compinit)
  fish   glidepath completion fish > ~/.config/fish/completions/glidepath.fish
"""
SHELLS = ("bash", "zsh", "fish")


def main(argv: Sequence[str]) -> int:
    """Print the script of a shell; or answer a shell that runs this script and waits for words.

    Raises:
        GlidepathError: argcomplete is not installed.
    """
    try:
        from argcomplete import autocomplete
        from argcomplete.shell_integration import shellcode
    except ModuleNotFoundError:
        raise GlidepathError(
            "completion needs argcomplete: pip install 'glidepath-diffusion[completion]'"
        ) from None
    if "_ARGCOMPLETE" in os.environ:
        line = os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])]
        autocomplete(line_parser(line), always_complete_options=False)
    arguments = parser().parse_args(argv)
    print(shellcode(["glidepath"], shell=arguments.shell), end="")
    return 0


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath completion",
        description="Print a script that makes a shell complete commands, options, presets, kinds and parts.",
        epilog=EPILOG,
    )
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or fish")
    add_plugin_switches(parser)
    return parser


def line_parser(line: str) -> argparse.ArgumentParser:
    """The parser of a command line: every command by name, and the arguments of the one that stands on it."""
    words = [word for word in line.split()[1:] if not word.startswith("-")]
    catalogue = load_catalogue(no_plugins="--no-plugins" in line.split())
    summaries = {
        **BUILTIN_COMMANDS,
        **{name: command.summary for name, command in catalogue.commands().items()},
    }

    parser = CommandParser(prog="glidepath")
    add_plugin_switches(parser)
    parser.add_argument("--version", action="store_true")
    commands: argparse._SubParsersAction[argparse.ArgumentParser] = parser.add_subparsers(
        parser_class=argparse.ArgumentParser
    )
    for name, summary in summaries.items():
        own = [_own(name, catalogue)] if words[:1] == [name] else []
        commands.add_parser(name, help=summary, parents=own, add_help=not own)
    return parser


def _own(name: str, catalogue: Catalogue) -> argparse.ArgumentParser:
    """The arguments of a command, each with what completes it."""
    parser = command_parser(name, catalogue) or CommandParser(prog=f"glidepath {name}")
    add_completers(parser, catalogue)
    return parser

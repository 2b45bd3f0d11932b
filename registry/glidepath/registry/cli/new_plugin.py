"""`glidepath new-plugin`: a plugin package to begin with."""

from __future__ import annotations

import argparse
from pathlib import Path

EPILOG = """\
Writes a folder with a package that can be built, installed, tested and published as it is: a part
that works, its parameters, tests that run glidepath's own checks, an example spec, a README, a
licence and a CI file. Then make it yours. NAME is how it is published; a leading "glidepath-" is
left out of the part's own name.

examples:
  glidepath new-plugin glidepath-acme --kind sampler
  glidepath new-plugin acme-words --kind text-encoder --out plugins/words
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the arguments."""
    from glidepath.registry.cli.package_template import KINDS

    parser = commands.add_parser(
        "new-plugin",
        description="Write a plugin package of your own, complete and working.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = ", ".join(kind.replace("_", "-") for kind in KINDS)
    parser.add_argument("name", metavar="NAME", help="of the package: lower-case words joined by hyphens")
    parser.add_argument("--kind", required=True, help=f"of the part that it supplies: {kinds}")
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help="the folder to write, which must not exist (default: ./NAME)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the package, and say what to do with it.

    Raises:
        GlidepathError: the name, the kind or the folder will not do; nothing was written.
    """
    from glidepath.registry.cli.package_template import named, write

    plugin = named(arguments.name, arguments.kind)
    folder: Path = arguments.out or Path(plugin.distribution)
    write(plugin, folder)
    print(f"{folder}: a {plugin.kind.replace('_', ' ')} named {plugin.part}. Next:")
    print(f'  pip install -e "{folder}[test]"')
    print(f"  pytest {folder}")
    print(f"  {plugin.command(folder / 'example.yaml')}")
    return 0

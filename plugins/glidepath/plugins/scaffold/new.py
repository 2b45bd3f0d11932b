"""`glidepath new-plugin`: a plugin package to begin with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glidepath.registry import CommandParser, add_plugin_switches, open_catalogue

EPILOG = """\
Writes a folder with a package that can be built, installed, tested and published as it is: a part
that works, its parameters, tests that run glidepath's own checks, an example spec, a README, a
licence and a CI file. Then make it yours. NAME is how it is published; a leading "glidepath-" is
left out of the part's own name.

examples:
  glidepath new-plugin glidepath-acme --kind sampler
  glidepath new-plugin acme-words --kind text-encoder --out plugins/words
"""


def main(argv: Sequence[str]) -> int:
    """Write the package, and say what to do with it.

    Raises:
        GlidepathError: the name, the kind or the folder will not do; nothing was written.
    """
    arguments = parser().parse_args(argv)
    from glidepath.plugins.scaffold.package import new_plugin, write

    plugin = new_plugin(arguments.name, arguments.kind, open_catalogue(arguments))
    folder: Path = arguments.out or Path(plugin.distribution)
    write(plugin, folder)
    print(f"{folder}: {plugin.a_kind} named {plugin.part}. Next:")
    print(f'  pip install -e "{folder}[test]"')
    print(f"  pytest {folder}")
    print(f"  {plugin.command(folder / 'example.yaml')}")
    return 0


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath new-plugin",
        description="Write a plugin package of your own, complete and working.",
        epilog=EPILOG,
    )
    parser.add_argument("name", metavar="NAME", help="of the package: lower-case words joined by hyphens")
    parser.add_argument(
        "--kind", required=True, help="of the part that it supplies, such as sampler, guidance or denoiser"
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help="the folder to write, which must not exist (default: ./NAME)",
    )
    add_plugin_switches(parser)
    return parser

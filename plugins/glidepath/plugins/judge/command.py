"""`glidepath judge`: blind judgements of pictures by people."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from glidepath.plugins.judge.commands import making, reading, writing
from glidepath.registry import (
    CommandParser,
    add_json_argument,
    add_plugin_switches,
    key_value,
    natural_int,
    positive_int,
)

EPILOG = """\
examples:
  glidepath judge power --rate 0.55
  glidepath judge new cfg.yaml --question faithful --out judgements/cfg
  glidepath judge serve judgements/cfg
  glidepath judge report judgements/cfg
"""


def main(argv: Sequence[str]) -> int:
    """Run one of the subcommands.

    Raises:
        SpecError: the rules of a judgement have problems; all are listed.
        GlidepathError: a folder, a file or a package is not as it has to be.
    """
    arguments = parser().parse_args(argv)
    return int(arguments.run(arguments))


def parser() -> CommandParser:
    """Its arguments, with those of its subcommands."""
    parser = CommandParser(prog="glidepath judge", description=__doc__, epilog=EPILOG)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(
        name: str, run: Callable[[argparse.Namespace], int], text: str, *, folder: bool = True
    ) -> CommandParser:
        command: CommandParser = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        if folder:
            command.add_argument("folder", metavar="FOLDER", type=Path, help="of a judgement")
        add_plugin_switches(command)
        return command

    new = add("new", making.new, "make a judgement of the pictures of a study, or of folders", folder=False)
    new.add_argument(
        "sources",
        metavar="STUDY|FOLDER",
        nargs="+",
        type=Path,
        help="a study that has run, or a folder of pictures for each arm",
    )
    new.add_argument("--question", choices=("faithful", "real", "prefer"), help="what raters are asked")
    new.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of the judgement, a new one")
    new.add_argument(
        "--arm", dest="arms", action="append", metavar="ARM", help="only this one; repeatable (default: all)"
    )
    new.add_argument("--rules", type=Path, metavar="FILE", help="a YAML file of rules (default: none)")
    new.add_argument(
        "--set",
        metavar="KEY=VALUE",
        type=key_value,
        dest="overrides",
        action="append",
        default=[],
        help="change a rule, such as design.per_pair=5 or exclude.checks_right=0.8",
    )
    new.add_argument(
        "--raters", type=natural_int, metavar="N", help="links to make (default: as many as it takes)"
    )
    more = add("link", making.link, "make links for more raters, who take what the fewest have judged")
    more.add_argument("--raters", type=positive_int, default=1, metavar="N", help="default: %(default)s")
    serve = add("serve", making.serve_raters, "the page for raters, until it is interrupted")
    for command in (more, serve):  # links are those of where it is served
        command.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
        command.add_argument(
            "--port", type=natural_int, default=8765, help="default: %(default)s; 0: a free one"
        )
        command.add_argument(
            "--name",
            dest="names",
            action="append",
            default=[],
            metavar="NAME",
            help="a name of this machine that raters' links may have, such as lab.example; repeatable",
        )
    status = add("status", reading.status, "how far each rater is")
    add_json_argument(status)
    report = add("report", reading.report, "what the answers say; with --out as a page, Markdown and JSON")
    report.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write report.html, report.md, report.json, tables/*.tex"
    )
    add_json_argument(report)
    export = add("export", reading.export, "every answer as CSV or Parquet, or pairs for preference training")
    export.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="NAME.csv or NAME.parquet of answers, or NAME.jsonl of preferences: prompt, chosen, rejected",
    )
    export.add_argument("--by", default="people", metavar="WHO", help="people, simulated, or a model")
    imported = add("import", writing.import_answers, "take in answers that were given elsewhere")
    imported.add_argument(
        "file", metavar="FILE", type=Path, help="CSV with the columns rater, left, right, answer"
    )
    model = add("model", writing.model, "let a metric judge, as a rater that is reported apart")
    _metric(model)
    model.add_argument("--name", help="of the rater (default: that of the metric)")
    model.add_argument(
        "--margin", type=float, default=0.0, help="scores as near as this are a tie (default: %(default)s)"
    )
    simulated = add("simulate", writing.simulated, "rehearse: raters who follow a metric, and are said to be")
    _metric(simulated)
    simulated.add_argument("--raters", type=positive_int, metavar="N", help="default: as many as it takes")
    simulated.add_argument(
        "--sees",
        type=float,
        default=0.7,
        metavar="SHARE",
        help="how often they answer as the metric does, and not by chance (default: %(default)s)",
    )
    simulated.add_argument(
        "--spammers", type=natural_int, default=0, metavar="N", help="of them, who look at nothing"
    )
    simulated.add_argument("--seed", type=natural_int, default=0, help="default: %(default)s")
    power = add("power", reading.power_of, "how many judgements find a rate", folder=False)
    power.add_argument("--rate", type=float, required=True, help="of wins, ties as halves, such as 0.55")
    power.add_argument("--power", type=float, default=0.8, help="default: %(default)s")
    power.add_argument("--confidence", type=float, default=0.95, help="default: %(default)s")
    power.add_argument("--ties", type=float, default=0.0, help="their share (default: %(default)s)")
    power.add_argument("--per-pair", type=positive_int, default=3, help="default: %(default)s")
    power.add_argument("--per-rater", type=positive_int, default=40, help="default: %(default)s")
    power.add_argument(
        "--rater-icc",
        type=float,
        default=0.02,
        help="the correlation of two answers of one rater (default: %(default)s)",
    )
    power.add_argument(
        "--prompt-icc",
        type=float,
        default=0.05,
        help="the correlation of two answers about one prompt (default: %(default)s)",
    )
    add_json_argument(power)
    return parser


def _metric(parser: CommandParser) -> None:
    parser.add_argument(
        "metric",
        metavar="METRIC",
        help="as a study writes it: shapes-accuracy, or '{use: clip-score, clip: {...}}'",
    )

"""`glidepath measure-emoji`: how often images of a model of emoji show what their prompts say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core import GlidepathError
from glidepath.registry import (
    CommandParser,
    add_plugin_switches,
    add_spec_arguments,
    build_pipeline,
    natural_int,
    open_plan,
    positive_int,
    print_json,
)

if TYPE_CHECKING:
    from torch import Tensor

DESCRIPTION = """\
How often images of a model of emoji show what their prompts say, by a judge that was trained on all real
pictures. Rows are pairs that training saw, and pairs that it did not: of object and style, of object and skin
tone, of colour and shape. "object in 5": the right one is among the judge's five likeliest. "copies": images
that are nearer to a training picture than half of the way from that one to its own nearest.
"""


def main(argv: Sequence[str]) -> int:
    """Measure, or draw a sheet. Returns 0.

    Raises:
        SpecError: the spec has faults.
        GlidepathError: the spec names no weights, the judge or the table cannot be read, or a file cannot be
            written.
    """
    chosen = parser().parse_args(argv)
    from glidepath.plugins.emoji.judge import load_judge
    from glidepath.plugins.emoji.measuring import as_data, as_text, ceiling, measure
    from glidepath.plugins.emoji.table import load

    catalogue, plan = open_plan(chosen, need_weights=True)
    if not plan.all_weights():
        raise GlidepathError(
            f"{chosen.spec} names no weights, so there is no model to measure; name the spec.yaml that "
            "`glidepath train` writes beside its weights"
        )
    pipeline = build_pipeline(plan, catalogue)

    def draw(prompts: list[str], samples: range) -> Tensor:
        return pipeline(prompts, seed=chosen.seed, samples=samples)

    if chosen.sheet is not None:
        from glidepath.plugins.emoji.prompts import DRAWN, UNDRAWN
        from glidepath.plugins.emoji.sheet import write_sheet

        prompts = [*DRAWN, *UNDRAWN]
        write_sheet(chosen.sheet, draw(prompts, range(len(prompts))).cpu(), prompts, columns=8)
        print(chosen.sheet)
        return 0
    judge = load_judge()
    table = load(chosen.table) if chosen.table else None
    if table is not None and table.listing.things != judge.listing.things:
        raise GlidepathError(
            f"{chosen.table} has other things than the judge was trained on; `glidepath emoji-table` makes "
            "a table of the same ones"
        )
    model = measure(draw, judge, count=chosen.count, seed=chosen.seed, batch=chosen.batch, table=table)
    real = [] if table is None else ceiling(judge, table, count=chosen.count, seed=chosen.seed)
    if chosen.json:
        print_json({"model": [as_data(row) for row in model], "real": [as_data(row) for row in real]})
        return 0
    print(as_text(model))
    if real:
        print("\nreal pictures of the same prompts, which the judge ought to find right:")
        print(as_text(real))
    return 0


def parser() -> CommandParser:
    """The options."""
    parser = CommandParser(prog="glidepath measure-emoji", description=DESCRIPTION)
    add_spec_arguments(parser)
    add_plugin_switches(parser)
    parser.add_argument(
        "--count", type=positive_int, default=300, help="prompts of each row (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=natural_int, default=0, help="of prompts and noise (default: %(default)s)"
    )
    parser.add_argument(
        "--batch", type=positive_int, default=32, help="images made at once (default: %(default)s)"
    )
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="also judge its real pictures, and count copies of them"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="instead draw a sheet of prompts that are always the same"
    )
    return parser

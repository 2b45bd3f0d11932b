"""`glidepath emoji-judge`: train the network that judges images of emoji."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.registry import (
    CommandParser,
    natural_int,
    positive_int,
    require_writable,
    text_table,
    write_tensors,
)

if TYPE_CHECKING:
    from glidepath.plugins.emoji.judge import TrainedJudge
    from glidepath.plugins.emoji.table import Table


def main(argv: Sequence[str]) -> int:
    """Train a judge, write it, and say how often it is right. Returns 0.

    Raises:
        GlidepathError: the table cannot be read, or the judge cannot be written.
    """
    arguments = parser().parse_args(argv)
    from tqdm import tqdm

    from glidepath.plugins.emoji.judge import FORMAT, judge_tensors, load_judge
    from glidepath.plugins.emoji.judge_training import train_judge
    from glidepath.plugins.emoji.table import load

    table = load(arguments.table)
    require_writable(arguments.out)
    with tqdm(total=arguments.steps, unit="step", file=sys.stderr, leave=False) as bar:

        def report(step: int, loss: float) -> None:
            bar.update()
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)

        network = train_judge(table, steps=arguments.steps, seed=arguments.seed, report=report)
    header = {"format": FORMAT, "things": table.listing.header()}
    write_tensors(arguments.out, judge_tensors(network, table.listing), header)
    print(arguments.out)
    print(_ceiling(load_judge(arguments.out), table))
    return 0


def parser() -> CommandParser:
    """The options."""
    parser = CommandParser(
        prog="glidepath emoji-judge",
        description="Train the network that judges images of emoji, on all real pictures of a table.",
    )
    parser.add_argument("table", type=Path, metavar="TABLE", help="what `glidepath emoji-table` wrote")
    parser.add_argument("--out", type=Path, default=Path("judge.safetensors"), metavar="FILE")
    parser.add_argument(
        "--steps", type=positive_int, default=1500, help="of 128 pictures (default: %(default)s)"
    )
    parser.add_argument("--seed", type=natural_int, default=0)
    return parser


def _ceiling(judge: TrainedJudge, table: Table) -> str:
    """What the judge gets right of real pictures, for a person."""
    import torch

    from glidepath.plugins.emoji.judge_training import accuracy

    everything = torch.arange(len(table.listing))
    held_out = (table.listing.held > 0).nonzero().flatten()
    lines = [["real pictures", "n", "top-1", "top-5", "style", "tone"]]
    for name, rows, strength in (
        ("all", everything, 0.0),
        ("held out", held_out, 0.0),
        ("changed as in training", everything, 1.0),
        ("1.4 times as much", everything, 1.4),
    ):
        shares = accuracy(judge, table, rows, strength=strength)
        numbers = (f"{share:.1%}" for share in (shares.top_1, shares.top_5, shares.style, shares.tone))
        lines.append([name, str(shares.pictures), *numbers])
    return text_table(lines)

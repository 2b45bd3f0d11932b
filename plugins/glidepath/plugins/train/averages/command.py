"""`glidepath ema`: the weights of a run as a moving average of another length."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from glidepath.core import GlidepathError
from glidepath.registry import CommandParser, positive_int

EPILOG = """\
The run was trained with averages of some lengths, which are kept every so many steps:
  glidepath train my.yaml --set train.ema_lengths=[0.05,0.1]

A length is relative to all of training: 0.1 reaches back over about a tenth of it.

examples:
  glidepath ema runs/my --length 0.15
  glidepath sample "a red star" --spec runs/my/spec.yaml --set weights=runs/my/weights-ema-0.15.safetensors
"""


def main(argv: Sequence[str]) -> int:
    """Write a file of weights for each length, and print its name.

    Raises:
        GlidepathError: the run is not at its end, or kept no averages.
    """
    arguments = parser().parse_args(argv)
    from safetensors import SafetensorError, safe_open

    from glidepath.plugins.train.averages.snapshots import averaged
    from glidepath.plugins.train.run.run import WEIGHTS
    from glidepath.registry import utf_8_name, write_tensors

    trained = arguments.run / WEIGHTS
    if not trained.is_file():
        raise GlidepathError(f"there is no {trained}: it is written when the run is at its end")
    try:
        with utf_8_name(trained) as name, safe_open(name, framework="pt") as file:
            header = file.metadata() or {}
            whole = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise GlidepathError(f"cannot read {trained}: {error}") from error
    for length in arguments.lengths:
        path = arguments.run / f"weights-ema-{length:g}.safetensors"
        step = {} if arguments.step is None else {"step": str(arguments.step)}
        write_tensors(
            path,
            averaged(arguments.run, length, arguments.step, whole),
            {**header, **step, "ema_length": f"{length:g}"},
        )
        print(path, flush=True)
        print(f"sample with them: --spec {arguments.run / 'spec.yaml'} --set weights={path}", file=sys.stderr)
    return 0


def parser() -> argparse.ArgumentParser:
    """Its arguments. Completion in shells asks for them."""
    parser = CommandParser(
        prog="glidepath ema",
        description="Write the weights of a run as moving averages of other lengths, after training.",
        epilog=EPILOG,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a run that is at its end")
    parser.add_argument(
        "--length",
        dest="lengths",
        type=float,
        action="append",
        required=True,
        metavar="L",
        help="of the average, above 0 and below 0.28; may be repeated",
    )
    parser.add_argument("--step", type=positive_int, metavar="N", help="as it was then (default: at the end)")
    return parser

"""`glidepath train`: train the denoiser and the text encoder of a spec."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core import Event, GlidepathError, Listener, Subject
from glidepath.registry import (
    CommandParser,
    add_locked_option,
    add_plugin_switches,
    add_spec_arguments,
    count_interrupts,
    key_value,
    listening,
    lock_folder,
    note_failures,
    open_plan,
    positive_int,
    remove_partial,
    write_text,
)

if TYPE_CHECKING:
    from glidepath.plugins.train.run.run import Run, Trainer

STOP = "stop.json"
"""In a run's folder: it is to stop. `glidepath runs FOLDER --stop` writes it."""

EPILOG = """\
The spec says what is trained (denoiser, text_encoder, schedule), on what (data), and how (train).
The folder receives spec.yaml, log.jsonl, dataset.jsonl (what is trained on), checkpoints, and at the
end weights.safetensors.

Run the same command again to go on from the newest checkpoint. After Ctrl-C, a crash or a power
cut the weights in the end are those of a run that nothing stopped.

examples:
  glidepath train shapes
  glidepath train my.yaml --set train.steps=20000 --device cuda
  glidepath train my.yaml --set data.folder=photos --out runs/photos
"""


def main(argv: Sequence[str]) -> int:
    """Train, or go on training.

    Returns 0 when training is finished or has done as many steps as were asked for, 130 when it was
    interrupted and left a checkpoint.

    Raises:
        SpecError: the spec has problems, or cannot be trained.
        LockError: under `--locked`, something is not as the lock has it.
        GlidepathError: training cannot begin, or failed.
    """
    arguments = parser().parse_args(argv)
    if arguments.processes is not None:
        arguments.overrides.append(f"train.processes={arguments.processes}")
    catalogue, plan = open_plan(arguments)
    note_failures(catalogue)

    import attrs

    from glidepath.plugins.train.run.trainable import build, check_trainable, guests, processes_of

    check_trainable(plan, catalogue)
    folder = arguments.out or Path("runs") / _name(arguments.spec)
    if arguments.out is not None and arguments.out.is_file():
        raise GlidepathError(f"--out is a folder, and {arguments.out} is a file")

    def refusal(holder: str) -> str:
        return f"{holder} is training into {folder}; stop it, or choose another"

    from glidepath.plugins.train.scale import group as groups
    from glidepath.registry import choose_device

    wanted = processes_of(plan)
    if arguments.engine and not groups.is_started():
        return _on_cluster(arguments, argv, wanted, folder)
    if groups.count_of_processes() == 1 and wanted > 1:
        from glidepath.plugins.train.scale.launch import train_together

        return train_together(main, argv, wanted, folder)
    told = shlex.join(["glidepath", "train", *argv])
    with ExitStack() as stack:
        device = groups.device_of_process(choose_device(plan.runtime.device))
        group = stack.enter_context(groups.joined(device))
        if not group.first:
            silence = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(redirect_stderr(silence))
            stack.enter_context(redirect_stdout(silence))
            trainer, run = build(plan, catalogue, folder, device, group)
            return _train(trainer, run, told, None)
        stack.enter_context(lock_folder(folder, refusal))
        remove_partial(folder)
        (folder / STOP).unlink(missing_ok=True)  # it was for the run before
        trainer, run = build(plan, catalogue, folder, device, group)
        subject = Subject(kind="run", name=str(folder), folder=folder, spec=run.spec)
        listeners = stack.enter_context(listening(subject, guests(plan, catalogue), warn))
        return _train(trainer, attrs.evolve(run, listeners=listeners), told, arguments.steps_now)


def _on_cluster(arguments: argparse.Namespace, argv: Sequence[str], count: int, folder: Path) -> int:
    from glidepath.plugins.train.scale.clusters import Work, settings_of, submit_to_slurm, train_by_ray

    work, settings = Work(main, tuple(argv), str(Path.cwd())), settings_of(arguments.engine_set)
    if arguments.engine == "slurm":
        print(submit_to_slurm(work, count, folder / "slurm", settings), file=sys.stderr)
    else:
        train_by_ray(work, count, folder / "ray", settings)
    return 0


def _train(trainer: Trainer, run: Run, command: str, steps_now: int | None) -> int:
    import attrs

    from glidepath.plugins.train.data.dataset import batch_at
    from glidepath.plugins.train.run.display import TrainingDisplay
    from glidepath.plugins.train.run.heartbeat import HEARTBEAT, Heartbeat
    from glidepath.plugins.train.run.run import sampling_spec
    from glidepath.plugins.train.run.spec_file import SPEC, spec_text

    # of several processes, the one that started them has said it
    said = "" if run.group.count > 1 else "stopping after this step; once more stops at once"
    with TrainingDisplay() as display, count_interrupts(said) as interrupts:

        def began() -> None:
            # not before the trainer has agreed to go on with what the folder holds
            write_text(run.folder / SPEC, spec_text(sampling_spec(trainer, run), command))

        session = _Session(began, lambda: interrupts() > 0 or (run.folder / STOP).exists(), steps_now)
        heart = Heartbeat(run.folder / HEARTBEAT)
        listeners = (session, display, heart, *run.listeners)
        with heart:
            weights = trainer.train(attrs.evolve(run, listeners=listeners, stop=session.is_to_stop))
        stopped = interrupts() > 0 or (run.folder / STOP).exists()
    if not run.group.first:
        return 0
    if weights is not None:
        if session.first == session.total:
            print("training was finished before; its weights are written again", file=sys.stderr)
        print(weights, flush=True)
        if not getattr(trainer, "trains_spec", True):
            print("name them as `weights` of the part that was trained", file=sys.stderr)
            return 0
        first = batch_at(run.dataset, (), 0, 0, 1)
        labels = first.labels if "labels" in run.model.reads else None
        asked = [] if labels is None else ["--label", str(int(labels[0]))]
        asked += first.captions if run.text_encoder is not None or not asked else []
        sample = ["glidepath", "sample", *asked, "--spec", str(run.folder / SPEC)]
        print(f"sample with them: {shlex.join(sample)}", file=sys.stderr)
        return 0
    why = "interrupted" if interrupts() > 0 else "stopped"
    if session.first is None:
        print(f"{why} before the first step, while the dataset was checked", file=sys.stderr)
        return 130
    print(
        f"{why} at step {session.at} of {session.total}; a checkpoint is in {run.folder}. "
        f"Resume with the same command:\n  {command}",
        file=sys.stderr,
    )
    return 130 if stopped else 0


def warn(sentence: str) -> None:
    """Print what a person should know of a run."""
    print(f"glidepath: warning: {sentence}", file=sys.stderr)


class _Session(Listener):
    """What this call has done of the run."""

    wants_steps = True

    def __init__(
        self, began: Callable[[], None], interrupted: Callable[[], bool], steps_now: int | None
    ) -> None:
        self._began, self._interrupted, self._steps_now = began, interrupted, steps_now
        self.first: int | None = None
        self.at = self.total = 0

    def tell(self, event: Event) -> None:
        if event.name == "started":
            self.first = event.step
            self._began()
        if event.name in ("started", "step"):
            self.at, self.total = event.step, event.total

    def is_to_stop(self) -> bool:
        done = self.at - (self.first or 0)
        return self._interrupted() or (self._steps_now is not None and done >= self._steps_now)


def parser() -> argparse.ArgumentParser:
    """Its arguments. Completion in shells asks for them."""
    parser = CommandParser(
        prog="glidepath train",
        description="Train the denoiser and the text encoder of a spec, or go on training them.",
        epilog=EPILOG,
    )
    add_spec_arguments(parser)
    add_locked_option(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where its files go (default: runs/NAME, NAME of the spec)"
    )
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1, mps (default: as the spec says)")
    parser.add_argument(
        "--processes",
        type=positive_int,
        metavar="N",
        help="share the rows of each batch among N processes on this machine, each with a GPU of its own "
        "where there are any (default: train.processes of the spec)",
    )
    parser.add_argument(
        "--engine", choices=("ray", "slurm"), help="start the processes on a cluster, by Ray Train or Slurm"
    )
    parser.add_argument(
        "--engine-set",
        metavar="KEY=VALUE",
        type=key_value,
        action="append",
        default=[],
        help="a setting of that engine, such as slurm_partition=gpu or use_gpu=true; may be repeated",
    )
    parser.add_argument(
        "--steps-now", type=positive_int, metavar="N", help="stop after N more steps, with a checkpoint"
    )
    add_plugin_switches(parser)
    return parser


def _name(spec: str) -> str:
    """A folder's name for a preset or a file."""
    return re.sub(r"[^\w.-]+", "-", Path(spec).stem) or "spec"

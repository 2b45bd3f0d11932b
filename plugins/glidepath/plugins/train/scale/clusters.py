"""Training on a cluster: the processes of a run are started by Slurm, through submitit, or by Ray Train.

All machines have the same glidepath and plugins, and see the folder that the command was started in by the
same path.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from glidepath.core import GlidepathError
from glidepath.registry import needed

Main = Callable[[Sequence[str]], int]


@attrs.frozen
class Work:
    """What each process of a run does: `main` with `argv`, in `folder`."""

    main: Main
    argv: tuple[str, ...]
    folder: str

    def __call__(self) -> int:
        """As one of the tasks of a job of Slurm."""
        submitit = needed("submitit", "jobs of Slurm", extra="slurm")
        # GPUs are chosen by LOCAL_RANK, whatever is in sight
        submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        return self.run()

    def checkpoint(self) -> Any:
        """Submitit asks for it before the time of a job is over: the same again goes on where this one is."""
        return needed("submitit", "jobs of Slurm", extra="slurm").helpers.DelayedSubmission(self)

    def run(self) -> int:
        """Once the processes know of each other."""
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # as in `launch`
        os.chdir(self.folder)
        return self.main(self.argv)


def settings_of(words: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE as settings of an engine: a value that is JSON as such, another as text."""
    found: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def submit_to_slurm(work: Work, count: int, logs: Path, settings: Mapping[str, Any]) -> str:
    """Submit a job of `count` tasks; where its output will be.

    settings: parameters of submitit, such as `slurm_partition`, `timeout_min`, `nodes`, `gpus_per_node`;
        `cluster: local` runs it on this machine.

    Raises:
        MissingExtra: submitit is not installed.
        GlidepathError: there is no Slurm, or a setting is none of submitit's.
    """
    submitit = needed("submitit", "jobs of Slurm", extra="slurm")
    nodes = int(settings.get("nodes", 1))
    if count % nodes:
        raise GlidepathError(f"engine slurm: {count} processes cannot be divided among {nodes} nodes")
    given = {"tasks_per_node": count // nodes, "name": "glidepath", **settings}
    try:
        executor = submitit.AutoExecutor(logs, cluster=given.pop("cluster", "slurm"))
        executor.update_parameters(**given)
        job = executor.submit(work)
    except Exception as error:  # of several kinds: no sbatch, another parameter, what sbatch refuses
        raise GlidepathError(f"engine slurm: the job could not be submitted: {error}") from error
    return f"job {job.job_id}; what it says is in {job.paths.stderr}"


def train_by_ray(work: Work, count: int, logs: Path, settings: Mapping[str, Any]) -> None:
    """Train by `count` workers of Ray Train, and wait for the end; what Ray keeps lies in `logs`.

    settings: `address` of the cluster (default: Ray on this machine); the others are those of Ray's
        ScalingConfig, such as `use_gpu` and `resources_per_worker`.

    Raises:
        MissingExtra: Ray is not installed.
        GlidepathError: it is not reached, or the run failed.
    """
    ray, train, torch_of_ray = (
        needed(module, "workers of Ray", extra="ray") for module in ("ray", "ray.train", "ray.train.torch")
    )
    given = dict(settings)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in numbers]
    try:
        ray.init(address=given.pop("address", "local"), include_dashboard=False, logging_level="ERROR")
    except Exception as error:
        raise GlidepathError(f"engine ray: Ray could not be reached or started: {error}") from error
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)  # Ray has set its own
    try:
        backend = "cpu:gloo,cuda:nccl" if given.get("use_gpu") else "gloo"
        trainer = torch_of_ray.TorchTrainer(
            work.run,
            scaling_config=train.ScalingConfig(num_workers=count, **given),
            torch_config=torch_of_ray.TorchConfig(backend=backend),
            run_config=train.RunConfig(storage_path=str(logs.absolute()), name="glidepath"),
        )
        trainer.fit()
    except Exception as error:
        raise GlidepathError(f"engine ray: the run failed: {error}") from error
    finally:
        ray.shutdown()

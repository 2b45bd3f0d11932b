"""Run by test_together.py: trains tiny runs by several processes, which it forks.

It fills a folder with the folders of runs that differ by nothing but the processes that trained them.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
import torch._dynamo  # making an optimizer imports it; here it is done before the forks
from tests.plugins.train.run.test_compiling import plain
from tests.plugins.train.tiny import WORDS, KnownColours, config, make_run, train
from tests.plugins.train.trainers.test_classifier import TwoGaussians, small
from tests.plugins.train.trainers.test_classifier import config as classifier_config
from tests.plugins.train.trainers.test_contrastive import clip
from tests.plugins.train.trainers.test_contrastive import config as clip_config
from tests.plugins.train.trainers.test_networks import Classes, edm2
from torch import nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from glidepath.plugins.schedules.configs import CosineConfig, EdmConfig
from glidepath.plugins.schedules.cosine import CosineSchedule
from glidepath.plugins.schedules.edm import EdmSchedule
from glidepath.plugins.train.configs import Samples
from glidepath.plugins.train.losses.configs import Edm2WeightingConfig, ImportanceConfig, LogNormalConfig
from glidepath.plugins.train.losses.density import ImportanceDensity, LogNormalDensity
from glidepath.plugins.train.losses.weighting import Edm2Weighting
from glidepath.plugins.train.run import compiling
from glidepath.plugins.train.run.learner import Learner
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.scale.group import Group, ProcessLost, joined
from glidepath.plugins.train.scale.shards import own
from glidepath.plugins.train.trainers.classifier import ClassifierTrainer
from glidepath.plugins.train.trainers.contrastive import ContrastiveTrainer
from glidepath.plugins.train.trainers.diffusion import DiffusionTrainer

STAGES: dict[str, Any] = {"contrastive_steps": 2, "facts_steps": 2, "steps": 6, "checkpoint_every": 5}
STAGES["accumulate"] = 2
STAGES["samples"] = Samples(prompts=("red", "blue"), every=8)
CPU = torch.device("cpu")
OPTIMIZERS: dict[str, dict[str, Any]] = {
    name: {
        "optimizer": name,
        "shard": True,
        "ema_lengths": (0.05, 0.1),
        "ema_every": 3,
        "contrastive_steps": 0,
    }
    for name in ("adam", "sgd", "muon")
}
OPTIMIZERS["float16"] = {**OPTIMIZERS["adam"], "precision": "float16"}
OVERFLOWS = 3
"""The update in which a gradient of one process is infinite."""


class Painter:
    """In place of a pipeline: an image of one colour, which the weights decide."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self.modules = modules

    def __call__(self, prompts: Sequence[str], **_: Any) -> torch.Tensor:
        total = sum(float(it.double().abs().sum()) for it in self.modules["denoiser"].parameters())
        return torch.full((len(prompts), 3, 1, 1), int(total * 100) % 256, dtype=torch.uint8)


class MistakenColours(KnownColours):
    """With captions that are nearly right: which, all captions of a batch decide together."""

    def near_misses(self, captions: Sequence[str], seed: int) -> list[str]:
        shift = seed + sum(map(WORDS.index, captions))
        return [WORDS[(WORDS.index(it) + 1 + shift % 3) % len(WORDS)] for it in captions]


def tiny_run(folder: Path, **changes: Any) -> Run:
    values: dict[str, Any] = {"dataset": MistakenColours(), "pipeline_of": Painter}
    return make_run(folder, denoiser={"dropout": 0.2}, **(values | changes))


def train_tiny(run: Run, stop_after: int | None = None, *, trains: str = "", **changes: Any) -> None:
    """trains: "clip", "classifier": those in place of the pipeline; "importance": where the loss is large;
    "uncertainty": how large the loss is expected; "edm2": that in EDM2's network; "compiled": by a compiler.
    """
    if trains == "clip":
        of_clip = clip_config(batch=4, steps=6, accumulate=2, **changes)
        ContrastiveTrainer(of_clip, clip=clip()).train(run, stop_after=stop_after)
    elif trains == "classifier":
        of_classifier = classifier_config(batch=4, steps=6, accumulate=2, **changes)
        run = attrs.evolve(run, dataset=TwoGaussians())
        ClassifierTrainer(of_classifier, classifier=small()).train(run, stop_after=stop_after)
    elif trains in ("uncertainty", "edm2"):
        torch.manual_seed(5)
        weighting, density = Edm2Weighting(Edm2WeightingConfig(channels=8)), None
        if trains == "edm2":
            made, density = edm2(num_classes=4, null_class=True), LogNormalDensity(LogNormalConfig(mean=0.5))
            run = attrs.evolve(run, denoiser=made, text_encoder=None, dataset=Classes())
            run = attrs.evolve(run, schedule=EdmSchedule(EdmConfig()))
        learned = config(steps=6, batch=4, accumulate=2, **changes)
        DiffusionTrainer(learned, weighting=weighting, timesteps=density).train(run, stop_after=stop_after)
    elif trains == "compiled":
        run = attrs.evolve(run, denoiser=plain(), text_encoder=None, dataset=Classes())
        train(run, stop_after, batch=4, accumulate=2, **changes)
    elif trains:
        run = attrs.evolve(run, schedule=CosineSchedule(CosineConfig(num_steps=4)))
        density = ImportanceDensity(ImportanceConfig(history=1))
        made = config(steps=12, batch=4, accumulate=2, **changes)
        DiffusionTrainer(made, timesteps=density).train(run, stop_after=stop_after)
        assert len(set(density.probabilities.tolist())) > 1
    else:
        train(run, stop_after, **(STAGES | changes))


def train_alone(folder: Path, **changes: Any) -> None:
    train_tiny(tiny_run(folder), **changes)


def forked(count: int, work: Callable[[Group], object]) -> list[int]:
    """Run `work` in `count` processes that know each other; what each exited with, a signal as negative."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    processes = []
    for rank in range(count):
        process = os.fork()
        if process:
            processes.append(process)
            continue
        status = 1
        try:
            os.environ |= {
                "RANK": str(rank),
                "WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(store.port),
                "TORCHELASTIC_USE_AGENT_STORE": "True",
            }
            with joined(CPU) as group:
                work(group)
            status = 0
        except ProcessLost:
            status = 3
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]


def train_together(
    folder: Path, count: int, *, doomed: int = -1, at: int = 0, after: float | None = None, **changes: Any
) -> list[int]:
    """doomed: the process that is killed in the `at`-th update of the weights, or `after` so many seconds."""

    def work(group: Group) -> None:
        if group.rank == doomed and after is not None:
            threading.Timer(after, os.kill, (os.getpid(), signal.SIGKILL)).start()
        elif group.rank == doomed:
            original, calls = Learner.update, 0

            def counted(*arguments: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*arguments)

            Learner.update = counted  # type: ignore[method-assign]
        run = tiny_run(folder, group=group, compiled=changes.get("trains") == "compiled")
        # what the others are initialised with, and asked, is the first one's
        stop_after = changes.pop("stop_after", None)
        train_tiny(run, stop_after if group.first else None, **changes)

    return forked(count, work)


def overflowing(folder: Path) -> None:
    """A run in float16, divided among two; writes which updates changed the weights of each process."""

    def work(group: Group) -> None:
        update, unscale, changed = Learner.update, torch.amp.GradScaler.unscale_, list[bool]()

        def spoilt(scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> None:
            if len(changed) + 1 == OVERFLOWS and group.rank == 1:
                parts = (own(it.grad) for it in optimizer.param_groups[0]["params"] if it.grad is not None)
                next(part for part in parts if part.numel()).view(-1)[0] = torch.inf
            unscale(scaler, optimizer)

        def watched(learner: Learner, *arguments: Any) -> Any:
            before = [own(it).clone() for it in learner.learning.values()]
            result = update(learner, *arguments)
            after = [own(it) for it in learner.learning.values()]
            changed.append(not all(map(torch.equal, before, after)))
            return result

        Learner.update = watched  # type: ignore[method-assign]
        torch.amp.GradScaler.unscale_ = spoilt  # type: ignore[method-assign]
        train_tiny(tiny_run(folder, group=group), **OPTIMIZERS["float16"], facts_steps=0)
        (folder / f"changed-{group.rank}").write_text(repr(changed))

    assert forked(2, work) == [0, 0]


def killed_at_random(folder: Path, kills: int, seconds: float) -> None:
    """Runs of two processes, of which one or the other is killed at random times of `seconds`.

    One that comes to its end before is followed by another run.
    """
    times, number = random.Random(17), 0
    while kills:
        doomed, after = times.randrange(2), times.uniform(0, seconds / 2)
        lost = train_together(folder / f"random-{number}", 2, doomed=doomed, after=after)
        if lost[doomed] == -signal.SIGKILL:
            assert lost[1 - doomed] in (0, 3), lost
            kills -= 1
        else:
            assert lost == [0, 0]
            number += 1
    assert train_together(folder / f"random-{number}", 2) == [0, 0]


def main(folder: Path) -> None:
    torch.set_num_threads(1)  # no pool of threads, which a fork would not take along
    train_alone(folder / "one")
    for name, changes in (("", {}), ("-shards", {"shard": True})):
        assert train_together(folder / f"two{name}", 2, **changes) == [0, 0]
        assert train_together(folder / f"three{name}", 3, **changes) == [0, 0, 0]
        for count, until in ((2, 5), (3, 7)):
            ended = train_together(folder / f"changing{name}", count, stop_after=until, **changes)
            assert ended == [0] * count
        train_alone(folder / f"changing{name}")
    for doomed in range(2):
        lost = train_together(folder / f"killed-{doomed}", 2, doomed=doomed, at=7)
        (folder / f"killed-{doomed}" / "statuses").write_text(repr(lost))
        assert train_together(folder / f"killed-{doomed}", 2) == [0, 0]


def more(folder: Path) -> None:
    """What takes longer."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    assert train_together(folder / "two", 2) == [0, 0]
    killed_at_random(folder, 4, time.perf_counter() - start)
    for trains in ("clip", "classifier", "importance", "uncertainty"):
        train_alone(folder / f"one-{trains}", trains=trains)
        assert train_together(folder / f"two-{trains}", 2, trains=trains) == [0, 0]
        assert train_together(folder / f"three-{trains}", 3, trains=trains, shard=True) == [0, 0, 0]
    train_alone(folder / "one-edm2", trains="edm2")
    assert train_together(folder / "two-edm2", 2, trains="edm2") == [0, 0]
    train_alone(folder / "one-compiled", trains="compiled")
    compiling._SETTINGS = {"dynamic": False, "backend": "aot_eager"}
    assert train_together(folder / "two-compiled", 2, trains="compiled") == [0, 0]
    assert train_together(folder / "three-compiled", 3, trains="compiled", shard=True) == [0, 0, 0]
    for name, changes in OPTIMIZERS.items():
        train_alone(folder / f"one-{name}", **changes)
        assert train_together(folder / f"two-{name}", 2, **changes) == [0, 0]
        train_tiny(tiny_run(folder / f"then-two-{name}"), 5, **changes)
        assert train_together(folder / f"then-two-{name}", 2, **changes) == [0, 0]
    overflowing(folder / "overflowing")

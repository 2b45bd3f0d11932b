"""What the arms of a study have and take, counted: parameters, and floating-point operations.

    python footing.py study.yaml [ARM ...]

A product and a sum are two operations. Those of matrix products, convolutions and attention are counted:
forwards and backwards, of one step of each stage of training, times its steps; and of drawing one image.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from omegaconf import OmegaConf
from torch import nn

from glidepath.core import Condition, Conditioning, GeneratorPipeline
from glidepath.registry import build_parts, build_pipeline, load_catalogue, main, make_plan, read_spec
from glidepath_families_metrics.counting import counting

COLUMNS = (
    *("family", "parameters", "of a critic", "of the text encoder", "steps", "images a step"),
    *("operations of a step", "of training", "of an image"),
)


@attrs.frozen
class Footing:
    """One arm.

    drawing, critic, text: parameters of the generator, of networks that only its training has, of the text
    encoder. stages: steps and operations a step of each stage of training. image: operations of drawing one.
    """

    arm: str
    drawing: int
    critic: int
    text: int
    batch: int
    stages: Sequence[tuple[int, int]]
    image: int

    @property
    def training(self) -> int:
        """Operations of all stages."""
        return sum(steps * operations for steps, operations in self.stages)

    def row(self) -> str:
        """A row of a table in Markdown."""
        steps = " + ".join(str(it) for it, _ in self.stages)
        each = " + ".join(f"{it / 1e9:.2f} G" for _, it in self.stages)
        cells = (self.arm, *(f"{it / 1e3:.0f} k" for it in (self.drawing, self.critic, self.text)))
        last = (f"{self.training / 1e12:.2f} T", f"{self.image / 1e6:.0f} M")
        return f"| {' | '.join((*cells, steps, str(self.batch), each, *last))} |"


def footing(arm: str, spec: Path) -> Footing:
    """Counts an arm, from its spec."""
    catalogue = load_catalogue()
    plan = make_plan(read_spec(str(spec), catalogue=catalogue), catalogue)
    pipeline = build_pipeline(plan, catalogue)
    if not isinstance(pipeline, GeneratorPipeline):
        raise SystemExit(f"{arm} is no arm with a generator")
    parts = build_parts(plan, ("data", "train"), catalogue)
    trainer, stages, critic = parts["train"], list[tuple[int, int]](), 0
    for objective in trainer.objectives:
        if hasattr(objective, "attach"):
            objective.attach(pipeline.model)
        critic += _size(objective)
        steps = getattr(objective, "steps", None) or trainer.config.steps
        stages.append((steps, _step(pipeline, objective, parts["data"], trainer.config.batch)))
    with counting() as counter:
        pipeline(parts["data"].batch(0, 0, 1)[1], seed=0)
    own = _size(pipeline.model), critic, _size(pipeline.text_encoder)
    return Footing(arm, *own, trainer.config.batch, stages, counter.total)


def _step(pipeline: GeneratorPipeline, objective: Any, dataset: Any, batch: int) -> int:
    """Operations of one step."""
    only = getattr(objective, "only", None)
    for name, parameter in pipeline.model.named_parameters():
        parameter.requires_grad_(only is None or name.partition(".")[0] in only)
    encoder: Any = pipeline.text_encoder
    encoder.requires_grad_(only is None or getattr(objective, "text", False))
    images, captions = dataset.batch(0, 0, batch)
    with counting() as counter:
        text = Condition(encoder(captions), encoder.unconditional())
        conditioning = Conditioning(batch, {"text": text}, tuple(captions))
        draws = torch.Generator().manual_seed(0)
        objective.loss(pipeline.model, images, conditioning, draws).backward()
    return counter.total


def _size(module: object) -> int:
    return sum(it.numel() for it in module.parameters()) if isinstance(module, nn.Module) else 0


def table(study: str, arms: Sequence[str]) -> int:
    """Prints a row for each arm of a study, or for some."""
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    with tempfile.TemporaryDirectory() as folder:
        for arm in arms or [block.case for block in OmegaConf.load(study).arms]:
            shown = io.StringIO()
            with contextlib.redirect_stdout(shown):
                status = main(["study", "show", study, arm])
            if status != 0:
                return status
            spec = Path(folder) / "arm.yaml"
            spec.write_text(shown.getvalue(), encoding="utf-8")
            print(footing(arm, spec).row(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(table(sys.argv[1], sys.argv[2:]))

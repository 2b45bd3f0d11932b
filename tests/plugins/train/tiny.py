"""Parts small enough to train in milliseconds, and a run made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from glidepath.core.conditioning import Conditioning, TextEmbedding
from glidepath.core.denoiser import Denoiser, Predict
from glidepath.core.events import Event, Listener
from glidepath.core.levels import NoiseLevels
from glidepath.core.prediction import PredictionKind
from glidepath.core.text_encoder import TextEncoder
from glidepath.plugins.schedules.configs import CosineConfig
from glidepath.plugins.schedules.cosine import CosineSchedule
from glidepath.plugins.train.configs import DiffusionTrainerConfig
from glidepath.plugins.train.run.log import LOG
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.trainers.diffusion import DiffusionTrainer

SIZE = 8

PARTS = """
schedule: {use: cosine, num_steps: 50}
text_encoder:
  use: transformer
  width: 16
  layers: 1
  heads: 2
  context: 4
  pooled_width: 128
  tokenizer: {use: words, vocabulary: [red, green, "on", left, right]}
denoiser:
  use: adm-unet
  image_size: 8
  channels: 32
  channel_mult: [1]
  res_blocks: 1
  attention_resolutions: []
  text_width: 16
  head_channels: 16
  learned_variance: false
guidance: [classifier-free]
sampler: {use: ddim, steps: 2}
"""
"""A pipeline of pixels from words, for specs that train it."""
WORDS = ("red", "green", "blue", "grey")
COLOURS = torch.tensor([[0.8, -0.8, -0.8], [-0.8, 0.8, -0.8], [-0.8, -0.8, 0.8], [0.0, 0.0, 0.0]])


class TinyDenoiser(Denoiser):
    """Three convolutions, time and text added; with dropout and a buffer that training changes."""

    calls: Tensor

    def __init__(
        self,
        predicts: PredictionKind = "epsilon",
        learned_variance: bool = False,
        text: bool = True,
        dropout: float = 0.0,
        width: int = 8,
    ) -> None:
        super().__init__()
        self.predicts, self.learned_variance = predicts, learned_variance
        self.image_shape = (3, SIZE, SIZE)
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.time = nn.Linear(2, width)
        self.text = nn.Linear(4, width) if text else None
        self.reads = frozenset({"text", "low_res"} if text else {"low_res"})
        self.dropout = nn.Dropout(dropout)
        self.middle = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, 6 if learned_variance else 3, 3, padding=1)
        self.unused = nn.Linear(2, 2)  # never has a gradient
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.seen: list[tuple[Tensor, Conditioning]] = []

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        if self.training:
            self.calls += 1
            self.seen = [*self.seen[-3:], (t.clone(), conditioning)]
        phase = t.float()[:, None] / 1000 * 3
        h = self.first(x) + self.time(torch.cat([phase.sin(), phase.cos()], dim=1))[:, :, None, None]
        if self.text is not None:
            assert conditioning.get("text", TextEmbedding) is not None
            h = h + self.text(conditioning.get("text", TextEmbedding).pooled)[:, :, None, None]
        h = h + self.middle(self.dropout(torch.nn.functional.silu(h)))
        output: Tensor = self.last(torch.nn.functional.silu(h)).float()
        return output

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        raise AssertionError("training does not sample")


class TinyTextEncoder(TextEncoder):
    """A vector for each of `WORDS`, one for other texts, one for no prompt (which is not the empty text)."""

    def __init__(self) -> None:
        super().__init__()
        self.pooled_width = self.token_width = 4
        self.context = 1
        self.words = nn.Embedding(len(WORDS) + 1, 4)
        self.null = nn.Parameter(torch.randn(4))

    def forward(self, prompts: Sequence[str]) -> TextEmbedding:
        ids = [WORDS.index(prompt) if prompt in WORDS else len(WORDS) for prompt in prompts]
        return self._embedding(self.words(torch.tensor(ids)))

    def unconditional(self, negative: Sequence[str] | None = None) -> TextEmbedding:
        return self._embedding(self.null[None]) if negative is None else self.forward(negative)

    def _embedding(self, pooled: Tensor) -> TextEmbedding:
        return TextEmbedding(pooled, pooled[:, None], torch.ones(pooled.shape[0], 1, dtype=torch.bool))


class Colours:
    """Images of one colour each, which the caption names."""

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[str]]:
        generator = torch.Generator().manual_seed(seed * 100_003 + step)
        chosen = torch.randint(len(WORDS), (size,), generator=generator)
        images = COLOURS[chosen][:, :, None, None].expand(size, 3, SIZE, SIZE)
        return images.clone(), [WORDS[index] for index in chosen.tolist()]


class KnownColours(Colours):
    """Asked which word it is, and whether it is the first; of the last word the second is open."""

    answers = (len(WORDS), 2)

    def facts(self, captions: Sequence[str]) -> Tensor:
        numbers = [WORDS.index(caption) for caption in captions]
        return torch.tensor([(it, -1 if it == len(WORDS) - 1 else int(it == 0)) for it in numbers])


class Heard(Listener):
    """Keeps what it is told."""

    wants_steps = True

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.places: list[tuple[int, int, str]] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)
        if event.name in ("stage", "step"):
            self.places.append((event.step, event.total, event.stage))


def config(**changes: Any) -> DiffusionTrainerConfig:
    """A short training, with everything on that costs nothing."""
    values: dict[str, Any] = {
        "steps": 12,
        "batch": 4,
        "learning_rate": 0.01,
        "warmup_steps": 3,
        "decay_share": 0.25,
        "ema": 0.9,
        "log_every": 4,
        "probe_every": 6,
        "checkpoint_every": 5,
        "contrastive_batch": 4,
        "precision": "float32",
        "patience": 0.0,
    }
    return DiffusionTrainerConfig(**(values | changes))


def make_run(
    folder: Path, *, init: int = 1, denoiser: Mapping[str, Any] | None = None, **changes: Any
) -> Run:
    """A run of tiny parts.

    init: seeds their first weights. denoiser: arguments of TinyDenoiser. changes: attributes of the run.
    """
    torch.manual_seed(init)
    values: dict[str, Any] = {
        "schedule": CosineSchedule(CosineConfig(num_steps=100)),
        "denoiser": TinyDenoiser(**(denoiser or {})),
        "text_encoder": TinyTextEncoder(),
        "dataset": Colours(),
        "folder": folder,
        "spec": {"train": {"use": "glidepath-diffusion/diffusion"}},
        "device": torch.device("cpu"),
    }
    return Run(**(values | changes))


def train(run: Run, stop_after: int | None = None, **changes: Any) -> Path | None:
    """Train a tiny run, or go on training it; `changes` are those of `config`."""
    return DiffusionTrainer(config(**changes)).train(run, stop_after=stop_after)


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log, without what depends on the clock and the machine."""
    lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    clocked = ("images_per_second", "memory_gb")
    return [{key: value for key, value in line.items() if key not in clocked} for line in lines]


def steps_of(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log that speak of training, and not of resumptions."""
    return [line for line in log_of(folder) if "loss" in line]

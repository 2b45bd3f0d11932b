"""The recipe learns: 30,000 views of letters, from scratch, and what is drawn is what the prompt says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from glidepath.plugins.emoji.captions import vocabulary
from glidepath.registry import assemble, main

from .glyphs import glyphs, written

SPEC = """
extends: emoji
text_encoder:
  width: 64
  layers: 1
  heads: 2
  context: 12
  pooled_width: 128
  tokenizer: {use: words, file: null, vocabulary: WORDS}
denoiser: {image_size: 16, channels: 32, channel_mult: [1, 2], attention_resolutions: [4], head_channels: 16}
weights: null
data: {table: TABLE, size: 16}
train:
  steps: 940
  batch: 32
  learning_rate: 0.002
  warmup_steps: 50
  ema: 0.99
  precision: float32
  facts_steps: 100
  facts_batch: 32
  samples: null
"""


@pytest.mark.thorough
def test_thirty_thousand_views_teach_a_small_network_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = glyphs()
    spec = SPEC.replace("TABLE", str(written(tmp_path)))
    spec = spec.replace("WORDS", str(vocabulary(table.listing.things)))
    Path("letters.yaml").write_text(spec, encoding="utf-8")
    assert main(["train", "letters.yaml"]) == 0
    pipeline = assemble("runs/letters/spec.yaml")

    seen = (table.listing.held == 0).nonzero().flatten()
    images = pipeline([table.listing.caption(row) for row in seen.tolist()], seed=0)
    distances = torch.cdist(images.double().flatten(1), table.pictures.double().flatten(1))
    nearest = distances.argmin(dim=1)
    letters, styles = table.listing.thing, table.listing.style
    # by chance a letter is right in 10 %, a style in 33 %
    assert (letters[nearest] == letters[seen]).double().mean() >= 0.8
    assert (styles[nearest] == styles[seen]).double().mean() >= 0.9

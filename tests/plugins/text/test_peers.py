"""What other programs gave for texts of all kinds, recorded: data/peers.json says with which, and how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from glidepath.plugins.text import repair
from glidepath.plugins.text.bpe import BpeTokenizer
from glidepath.plugins.text.clip_bpe import ClipBpeTokenizer
from glidepath.plugins.text.configs import BpeConfig, ClipBpeConfig
from glidepath.plugins.text.merging import LETTERS

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "peers.json").read_text("utf-8"))
each_text = pytest.mark.parametrize(
    "row", RECORDED["texts"], ids=[ascii(it["text"]) for it in RECORDED["texts"]]
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipBpeTokenizer:
    file = tmp_path_factory.mktemp("clip") / "merges.txt"
    file.write_text("\n".join(["#version: 0.2", *RECORDED["clip_merges"]]), encoding="utf-8")
    return ClipBpeTokenizer(ClipBpeConfig(vocabulary=file))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> BpeTokenizer:
    folder = tmp_path_factory.mktemp("gpt2")
    merges = RECORDED["gpt2_merges"]
    tokens = [*LETTERS.values(), *(merge.replace(" ", "") for merge in merges), "<|endoftext|>"]
    (folder / "encoder.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "vocab.bpe").write_text("\n".join(["#version: 0.2", *merges]), encoding="utf-8")
    return BpeTokenizer(BpeConfig(vocabulary=folder / "encoder.json", merges=folder / "vocab.bpe"))


@each_text
def test_a_text_has_the_ids_that_clips_program_gives(clip: ClipBpeTokenizer, row: dict[str, Any]) -> None:
    assert clip.encode(row["text"]) == row["clip"]


@each_text
def test_a_text_has_the_ids_that_byte_level_bpe_gives(gpt2: BpeTokenizer, row: dict[str, Any]) -> None:
    assert gpt2.encode(row["text"]) == row["gpt2"]


@each_text
def test_a_text_is_mended_as_ftfy_does_by_rule(row: dict[str, Any]) -> None:
    mended = repair.plain(row["text"]).replace("\r\n", "\n")
    for line_end in ("\r", "\u2028", "\u2029"):
        mended = mended.replace(line_end, "\n")
    assert mended == row["mended"]

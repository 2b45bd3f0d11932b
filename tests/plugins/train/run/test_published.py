"""What goes wherever trained weights go."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from PIL import Image
from safetensors import safe_open
from tests.plugins.train.tiny import PARTS

from glidepath.plugins.train.run.spec_file import published
from glidepath.plugins.train.run.trainable import build
from glidepath.plugins.train.scale.group import ALONE
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec

SPEC = """
extends: ./parts.yaml
text_encoder: {tokenizer: {use: words, file: words.txt, vocabulary: null}}
data:
  use: mixture
  datasets:
    - {use: captioned-folder, folder: pictures, size: 8}
    - {use: table, file: pictures/table.csv, size: 8}
train:
  use: diffusion
  steps: 1
  batch: 2
  warmup_steps: 1
  cache: null
  prior: {use: captioned-folder, folder: pictures, size: 8}
trackers: [{use: csv, file: figures.csv}]
"""


def test_weights_carry_no_path_of_the_machine_that_trained_them(tmp_path: Path) -> None:
    """Of a tokenizer, datasets inside a mixture, a prior and a tracker."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (8, 8), "red").save(pictures / "a.png")
    (pictures / "a.txt").write_text("red")
    (pictures / "table.csv").write_text("file_name,text\na.png,red\n")
    (tmp_path / "words.txt").write_text("red\n")
    (tmp_path / "parts.yaml").write_text(PARTS)
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    catalogue = load_catalogue()
    plan = make_plan(read_spec(str(spec), [], catalogue=catalogue), catalogue)
    trainer, run = build(plan, catalogue, tmp_path / "run", torch.device("cpu"), ALONE)
    assert str(tmp_path) in json.dumps(run.spec)  # where it resumes, they are needed
    path = trainer.train(run)
    assert path is not None
    whole = path.read_bytes()
    header = whole[: 8 + int.from_bytes(whole[:8], "little")].decode("utf-8", "replace")
    assert str(tmp_path) not in header
    assert str(Path.home()) not in header
    with safe_open(path, "pt") as file:
        told = json.loads(file.metadata()["spec"])
    assert told["text_encoder"]["tokenizer"]["file"] == "words.txt"
    assert "folder" not in told["data"]["datasets"][0]


def test_names_are_kept_and_what_is_no_path_is_left_as_it_is(tmp_path: Path) -> None:
    tree = {"a": ["x/y", 1, None, {"b": os.fspath(tmp_path / "c.txt")}], "hub": "hub:org/model", "where": "z"}
    assert published(tree, {"where"}) == {"a": ["x/y", 1, None, {"b": "c.txt"}], "hub": "hub:org/model"}

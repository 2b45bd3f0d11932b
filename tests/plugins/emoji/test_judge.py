"""The judge, trained on coloured discs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from glidepath.core import GlidepathError
from glidepath.plugins.emoji.judge import FORMAT, Judge, features, judge_tensors, load_judge, top
from glidepath.plugins.emoji.judge_training import accuracy, augmented, train_judge

from .judges import judge, table


def test_it_knows_what_it_was_trained_on() -> None:
    found = accuracy(judge(), table(), torch.arange(len(table().listing)))
    assert found.pictures == len(table().listing)
    assert min(found.top_1, found.style, found.tone) > 0.8
    assert found.top_5 >= found.top_1


def test_pixels_and_numbers_are_the_same_to_it() -> None:
    rows = torch.arange(6)
    one, other = judge().look(table().pictures[rows]), judge().look(table().images(rows))
    assert torch.equal(one.thing, other.thing)


def test_its_features_are_those_that_it_decides_by() -> None:
    pictures, trained = table().pictures[:6], load_judge()
    torch.testing.assert_close(
        trained.network.heads["style"](features(pictures)), trained.look(pictures).style
    )


def test_larger_images_are_averaged_down() -> None:
    rows = torch.arange(6)
    large = table().pictures[rows].repeat_interleave(2, -1).repeat_interleave(2, -2)
    torch.testing.assert_close(judge().look(large).thing, judge().look(table().pictures[rows]).thing)


def test_the_seed_decides_its_training() -> None:
    one, other = (train_judge(table(), steps=2, batch=8, seed=5).state_dict() for _ in range(2))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_what_was_written_is_read_up_to_half_precision(tmp_path: Path) -> None:
    file = tmp_path / "judge.safetensors"
    header = {"format": FORMAT, "things": table().listing.header()}
    save_file(judge_tensors(judge().network, table().listing), file, header)
    loaded = load_judge(file)
    assert loaded.listing.things == table().listing.things
    assert torch.equal(loaded.listing.held, table().listing.held)
    pictures = table().pictures[:8]
    torch.testing.assert_close(loaded.look(pictures).thing, judge().look(pictures).thing, atol=0.1, rtol=0.02)


def test_another_file_is_no_judge(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(GlidepathError, match="no judge of emoji"):
        load_judge(tmp_path / "a.safetensors")
    with pytest.raises(GlidepathError, match="emoji-judge"):
        load_judge(tmp_path / "none.safetensors")


def test_right_answers_among_the_highest_count() -> None:
    logits = torch.tensor([[0.1, 0.3, 0.2], [0.9, 0.0, 0.1]])
    assert top(logits, [1, 1]).tolist() == [True, False]
    assert top(logits, [2, 2], 2).tolist() == [True, True]
    assert top(logits, [0, 1], 5).tolist() == [True, True]


def test_changes_stay_within_the_range_and_grow_with_their_strength() -> None:
    images = table().images(torch.arange(12))
    changed = [
        augmented(images, torch.Generator().manual_seed(0), strength) for strength in (0.0, 0.5, 1.0, 1.5)
    ]
    assert all(float(it.abs().max()) <= 1 for it in changed)
    distances = [float((it - images).square().mean()) for it in changed]
    torch.testing.assert_close(changed[0], images, atol=1e-5, rtol=0)
    assert distances == sorted(distances)


def test_it_is_small_enough_to_ship() -> None:
    assert 2 * sum(parameter.numel() for parameter in Judge(1400).parameters()) < 4_000_000

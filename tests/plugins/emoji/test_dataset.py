"""The dataset `emoji`."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest
import torch

from glidepath.core import PartError
from glidepath.plugins.emoji.configs import EmojiConfig
from glidepath.plugins.emoji.dataset import EmojiDataset
from glidepath.plugins.emoji.drawing import Draws, name_weights
from glidepath.plugins.emoji.table import default_name

from .tiny import written


@pytest.fixture
def dataset(tmp_path: Path) -> EmojiDataset:
    return EmojiDataset(EmojiConfig(table=written(tmp_path), size=8))


def test_batches_are_a_function_of_seed_and_step(dataset: EmojiDataset) -> None:
    images, captions = dataset.batch(3, 7, 5)
    again, same = dataset.batch(3, 7, 5)
    assert torch.equal(images, again)
    assert captions == same
    assert (images.shape, images.dtype) == ((5, 3, 8, 8), torch.float32)
    assert captions != dataset.batch(4, 7, 5)[1]


def test_it_is_known_by_the_hash_of_its_table_wherever_that_lies(
    dataset: EmojiDataset, tmp_path: Path
) -> None:
    moved = dataset.config.table.rename(tmp_path / "moved.safetensors")  # type: ignore[union-attr]
    digest = hashlib.sha256(moved.read_bytes()).hexdigest()
    assert list(EmojiDataset(EmojiConfig(table=moved, size=8)).contents({})) == [("table", "", digest)]


def test_colours_change_places_in_a_share_of_the_pictures_and_what_they_show_does_not(
    dataset: EmojiDataset, tmp_path: Path
) -> None:
    config = EmojiConfig(table=dataset.config.table, size=8, recoloured=0.5)
    other = EmojiDataset(config)
    plain = torch.cat([dataset.batch(0, step, 64)[0] for step in range(8)])
    changed = torch.cat([other.batch(0, step, 64)[0] for step in range(8)])
    assert torch.equal(changed, torch.cat([other.batch(0, step, 64)[0] for step in range(8)]))
    assert torch.equal(plain.sort(dim=1).values, changed.sort(dim=1).values)
    coloured = (plain != plain.mean(dim=1, keepdim=True)).flatten(1).any(1)
    share = (plain != changed).flatten(1).any(1)[coloured].float().mean()
    # of the half that is drawn, one permutation in six changes nothing, and of two equal channels more
    assert 0.3 < share < 0.5


def test_nothing_that_is_held_out_is_ever_drawn(dataset: EmojiDataset) -> None:
    held = dataset.table.listing.held > 0
    assert held.any()
    forbidden = {picture.numpy().tobytes() for picture in dataset.table.pictures[held]}
    for step in range(40):
        images, _ = dataset.batch(0, step, 16)
        pictures = ((images + 1) * 127.5).round().to(torch.uint8)
        assert not forbidden & {picture.numpy().tobytes() for picture in pictures}


def test_captions_are_of_their_pictures(dataset: EmojiDataset) -> None:
    listing = dataset.table.listing
    images, captions = dataset.batch(1, 2, 64)
    pictures = ((images + 1) * 127.5).round().to(torch.uint8)
    rows = [
        (dataset.table.pictures == one).flatten(1).all(1).nonzero().flatten().tolist() for one in pictures
    ]
    for (row,), facts in zip(rows, dataset.facts(captions).tolist(), strict=True):
        shown = int(listing.thing[row]), int(listing.style[row]), int(listing.tone[row])
        assert facts[0] in (-1, shown[0])
        assert facts[4] in (-1, shown[1])
        assert facts[5] == shown[2]


def test_facts_have_an_answer_to_each_question(dataset: EmojiDataset) -> None:
    assert dataset.facts(["a cat, 3d", "fruit"]).shape == (2, len(dataset.answers))


def test_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="are 8 x 8, and `size` is 32"):
        EmojiDataset(EmojiConfig(table=written(tmp_path)))


def test_rows_come_as_often_as_their_weights_say_give_or_take_one() -> None:
    weights = torch.tensor([1.0, 2.0, 0.5, 0.25, 0.25]).double()
    draws = Draws(weights)
    for epoch in range(4):
        counts = Counter(draws.rows(0, 5 * epoch, 5).tolist())
        for row, weight in enumerate(weights.tolist()):
            assert abs(counts[row] - 5 * weight / 4) < 1


def test_a_batch_may_span_two_epochs() -> None:
    draws = Draws(torch.ones(5).double())
    assert torch.equal(draws.rows(0, 3, 4), torch.cat((draws.rows(0, 3, 2), draws.rows(0, 5, 2))))
    assert sorted(draws.rows(0, 0, 5).tolist()) == [0, 1, 2, 3, 4]


def test_a_thing_in_four_tones_weighs_twice_a_thing_in_one() -> None:
    thing, style = torch.tensor([0, 1, 1, 1, 1]), torch.tensor([0, 0, 0, 0, 0])
    weights = name_weights(thing, style)
    assert weights.tolist() == [1.0, 0.5, 0.5, 0.5, 0.5]


def test_the_table_is_looked_for_in_the_current_folder_under_the_name_that_its_command_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path).rename(default_name(8))
    assert EmojiDataset(EmojiConfig(size=8)).table.pictures.shape[-1] == 8
    assert (default_name(32), default_name(64)) == ("emoji-table.safetensors", "emoji-table-64.safetensors")

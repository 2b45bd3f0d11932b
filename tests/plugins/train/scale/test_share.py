"""What a process draws for its rows is what one process draws for the whole batch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tests.plugins.train.tiny import config, make_run
from torch import nn

from glidepath.core import PartError
from glidepath.plugins.train.data.draws import drawn, generator
from glidepath.plugins.train.scale.group import Group
from glidepath.plugins.train.scale.share import Share, share_of
from glidepath.plugins.train.stages.contrast import ContrastStage
from glidepath.plugins.train.stages.denoising import DenoisingStage

SHARES = [Share(7, Group(rank, 3).rows(7), 3) for rank in range(3)]


def test_every_row_of_a_batch_is_one_process_s() -> None:
    assert [row for it in SHARES for row in range(7)[it.rows]] == list(range(7))
    assert [len(it) for it in SHARES] == [2, 2, 3]


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_rows_are_divided_into_as_many_parts_by_each_process(count: int) -> None:
    """Gradients are averaged after each part, by all of them."""
    divided = [it.parts(count) for it in SHARES]
    assert {len(parts) for parts in divided} == {min(count, 2)}
    assert [row for parts in divided for it in parts for row in range(7)[it.rows]] == list(range(7))


@pytest.mark.parametrize("draw", [torch.rand, torch.randn])
def test_draws_for_rows_are_rows_of_the_draws(draw) -> None:  # type: ignore[no-untyped-def]
    stream = generator(5, 9)
    whole = [draw((7, 2, 3), generator=stream), draw((7,), generator=stream)]
    streams = [it.generator(5, 9) for it in SHARES]
    parts = [
        [drawn(draw, (len(it), *shape), stream) for it, stream in zip(SHARES, streams, strict=True)]
        for shape in ((2, 3), ())
    ]
    for value, of_each in zip(whole, parts, strict=True):
        assert torch.equal(torch.cat(of_each), value)


@pytest.mark.parametrize("shape", [(7, 8), (7, 8, 4, 4), (14, 3)])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("inplace", [False, True])
def test_dropout_of_rows_is_that_of_the_batch(
    shape: tuple[int, ...], channels_last: bool, inplace: bool
) -> None:
    """Also where a row of the batch is several of the tensor's."""
    x = torch.rand(shape)
    if channels_last and x.ndim == 4:
        x = x.to(memory_format=torch.channels_last)
    torch.manual_seed(3)
    whole = F.dropout(x, 0.3)
    layer, times, made = nn.Dropout(0.3, inplace=inplace), shape[0] // 7, []
    for share in SHARES:
        torch.manual_seed(3)
        own = x[times * share.rows.start : times * share.rows.stop].clone()
        with share.dropout():
            made.append(layer(own))
    assert torch.equal(torch.cat(made), whole)


def test_dropout_is_torch_s_own_again_afterwards_and_in_evaluation() -> None:
    original, x = F.dropout, torch.rand(2, 3)
    with SHARES[0].dropout():
        assert torch.equal(nn.Dropout(0.5).eval()(x), x)
        assert F.dropout is not original
    assert F.dropout is original
    with Share(4, slice(0, 4)).dropout():
        assert F.dropout is original


def test_the_mean_over_processes_of_weighed_means_is_the_mean_over_the_batch() -> None:
    losses = torch.rand(7, dtype=torch.float64)
    weighed = torch.stack([it.weighed(losses[it.rows].mean()) for it in SHARES])
    torch.testing.assert_close(weighed.mean(), losses.mean())


def test_each_process_takes_its_rows_unless_a_stage_says_nothing_of_dividing(tmp_path) -> None:  # type: ignore[no-untyped-def]
    run = make_run(tmp_path)
    for stage in (ContrastStage(config(contrastive_steps=1), run), DenoisingStage(config(), run)):
        assert share_of(stage, Group(1, 2)).rows == slice(2, 4)
    stage.divides = False
    assert share_of(stage, Group(1, 2)).whole


def test_more_processes_than_rows_are_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    stage = DenoisingStage(config(batch=2), make_run(tmp_path))
    with pytest.raises(PartError, match="a batch of 2 cannot be divided among 3 processes"):
        share_of(stage, Group(0, 3))

"""A device that is not there is refused before anything is built."""

from __future__ import annotations

import pytest

from glidepath.core import PartError
from glidepath.registry.assembly import build
from glidepath.registry.assembly.devices import choose_device
from glidepath.registry.cli import main


def test_an_absent_device_is_refused_in_one_line_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(build, "build_parts", None)
    assert main(["sample", "a red star", "--device", "cuda"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("glidepath: error: device 'cuda' is not available here; available: ")
    assert said.count("\n") == 1


def test_a_card_beyond_those_that_are_there_is_refused_with_their_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(PartError, match="'cuda:2' is not available here; available: cuda:0 to cuda:1"):
        choose_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(PartError, match="available: cuda:0, "):
        choose_device("cuda:1")

"""A device that cannot be here: `check` warns of it without torch, `sample` refuses before it builds."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace

import pytest

from glidepath.registry.assembly import build as assembly
from glidepath.registry.assembly import devices
from glidepath.registry.cli import main

VERSION = """\
from typing import Optional

__version__ = '2.13.0'
cuda: Optional[str] = CUDA
hip: Optional[str] = HIP
"""


@pytest.fixture
def torch_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What says for what the torch is built that is installed."""

    def build(cuda: str | None, hip: str | None) -> None:
        text = VERSION.replace("CUDA", repr(cuda)).replace("HIP", repr(hip))
        (tmp_path / "version.py").write_text(text)
        found = ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
        monkeypatch.setattr(devices, "find_spec", lambda _name: found)

    return build


def checked(device: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["check", "shapes", "--set", f"runtime.device={device}"]) == 0
    return capsys.readouterr().err


def test_cuda_is_warned_of_where_torch_is_built_without_it(
    torch_built, capsys: pytest.CaptureFixture[str]
) -> None:
    torch_built(None, None)
    for device in ("cuda", "cuda:1"):
        said = checked(device, capsys)
        assert (
            f"--set #1: the device {device} is not here: the torch that is installed is built without" in said
        )
        assert "at runtime.device" in said
    assert checked("cpu", capsys) == checked("auto", capsys) == ""


@pytest.mark.parametrize(("cuda", "hip"), [("12.8", None), (None, "6.3")])
def test_nothing_is_said_where_torch_alone_could_tell(
    torch_built, cuda: str | None, hip: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    torch_built(cuda, hip)
    assert checked("cuda", capsys) == ""


def test_nothing_is_said_where_no_torch_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda _name: None)
    assert checked("cuda", capsys) == ""
    monkeypatch.setattr(devices, "find_spec", lambda _name: SimpleNamespace(origin=str(tmp_path / "x.py")))
    assert checked("cuda", capsys) == ""


def test_mps_is_of_macos(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(devices.sys, "platform", "linux")
    assert "the device mps is not here: it is of macOS" in checked("mps", capsys)
    monkeypatch.setattr(devices.sys, "platform", "darwin")
    assert checked("mps", capsys) == ""


def test_the_answer_costs_no_import_of_torch() -> None:
    code = (
        "import sys; from glidepath.registry.cli import main; "
        "main(['check', 'shapes', '--set', 'runtime.device=cuda']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120).returncode == 0


def test_an_absent_device_is_refused_in_one_line_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(assembly, "build_parts", None)
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
    assert assembly.choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(
        assembly.PartError, match="'cuda:2' is not available here; available: cuda:0 to cuda:1"
    ):
        assembly.choose_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(assembly.PartError, match="available: cuda:0, "):
        assembly.choose_device("cuda:1")

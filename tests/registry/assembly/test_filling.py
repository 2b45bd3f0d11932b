"""Networks that have no memory before their weights: what is made is what would be made with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.registry.tiny import write_tiny
from torch import Tensor, nn

from glidepath.core.errors import PartError
from glidepath.registry import assemble
from glidepath.registry.assembly import build
from glidepath.registry.assembly.filling import NeedsMemory, Sparing
from glidepath.registry.assembly.weights import WeightsError, load_module
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec

MEASURE = Path(__file__).with_name("measure_loading.py")


def spared(make: Any) -> nn.Module:
    sparing = Sparing(torch.float32, channels_last=False)
    with sparing.building(covered=True):
        module: nn.Module = make()
    sparing.add(module)
    return module


def filled(make: Any, tensors: Mapping[str, Tensor]) -> nn.Module:
    module = spared(make)
    assert all(parameter.is_meta for parameter in module.parameters())
    load_module(module, tensors, part="p", file=Path("w"))
    return module


class Tied(nn.Module):
    """Two names for one table, a buffer that no file has, and one that each has."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Embedding(4, 3)
        self.last = nn.Linear(3, 4, bias=False)
        self.last.weight = self.first.weight
        self.register_buffer("steps", torch.arange(5.0), persistent=False)
        self.register_buffer("mean", torch.zeros(3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def parts(folder: Path) -> Any:
    """The parts of the tiny spec by slot, with memory spared on the way or not."""

    def made(*overrides: str, sparing: bool) -> dict[str, Any]:
        catalogue = load_catalogue()
        plan = make_plan(read_spec(folder, overrides, catalogue=catalogue), catalogue)
        found = (
            build._parts(plan, catalogue, True) if sparing else build._parts_by_stage(plan, catalogue, True)
        )
        return found[""]

    return made


def states(parts: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        f"{slot}.{name}": value
        for slot in ("denoiser", "text_encoder")
        for name, value in parts[slot].state_dict().items()
    }


def require_same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_memory_is_spared_where_all_get_weights(parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with_memory = states(parts(sparing=False))
    monkeypatch.setattr(build, "_parts_by_stage", _only_sparing(build._parts_by_stage))
    require_same(states(parts(sparing=True)), with_memory)


def _only_sparing(made: Any) -> Any:
    def checked(*arguments: Any) -> Any:
        assert len(arguments) == 4, "all was built with memory"
        return made(*arguments)

    return checked


@pytest.mark.parametrize("slot", ["denoiser", "text_encoder"])
def test_a_network_without_weights_starts_as_if_all_had_memory(parts: Any, folder: Path, slot: str) -> None:
    own = {
        name.partition(".")[2]: value
        for name, value in load_file(folder.with_name("tiny.safetensors")).items()
        if name.startswith(slot)
    }
    file = folder.with_name(f"{slot}.safetensors")
    save_file(own, file)
    overrides = ("weights=null", f"{slot}.weights={file}")
    require_same(states(parts(*overrides, sparing=True)), states(parts(*overrides, sparing=False)))


def test_in_16_bits_networks_are_what_they_become_when_they_are_moved(folder: Path) -> None:
    """Of which some layers stay in 32."""
    now, then = assemble(folder, ["runtime.dtype=bfloat16"]), assemble(folder)
    moved = then.denoiser.to(torch.bfloat16).state_dict()
    assert {value.dtype for value in moved.values()} == {torch.bfloat16, torch.float32}
    for name, value in now.denoiser.state_dict().items():
        assert value.dtype == moved[name].dtype
        assert torch.equal(value, moved[name])


def test_what_no_file_holds_keeps_its_values_and_what_was_one_stays_one() -> None:
    table = torch.arange(12.0).view(4, 3)
    made = filled(Tied, {"first.weight": table, "last.weight": table, "mean": torch.ones(3)})
    assert made.first.weight is made.last.weight
    assert torch.equal(made.last.weight, table)
    assert torch.equal(made.steps, torch.arange(5.0))
    assert torch.equal(made.mean, torch.ones(3))
    assert made.first.weight.requires_grad


def test_what_is_loaded_is_no_longer_the_file(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2, 2), "bias": torch.ones(2)}, tmp_path / "w.safetensors")
    tensors = load_file(tmp_path / "w.safetensors")
    made = filled(lambda: nn.Linear(2, 2), tensors)
    tensors["weight"].zero_()
    assert torch.equal(made.weight, torch.ones(2, 2))


def test_values_that_a_precision_does_not_hold_are_refused() -> None:
    with pytest.raises(PartError, match="the weights of p in w: 1 value does not fit float16"):
        filled(lambda: nn.Linear(1, 1, bias=False).half(), {"weight": torch.full((1, 1), 7e4)})


def test_what_would_be_drawn_otherwise_needs_memory() -> None:
    sparing = Sparing(torch.float32, channels_last=False)
    with sparing.building(covered=False):
        nn.Linear(2, 2)  # before anything was spared
    with sparing.building(covered=True):
        nn.ReLU()
    with sparing.building(covered=False):
        nn.Linear(2, 2)
    with sparing.building(covered=True):
        nn.Linear(2, 2)
    with sparing.building(covered=False):
        nn.ReLU()
    with pytest.raises(NeedsMemory), sparing.building(covered=False):
        nn.Linear(2, 2)


def test_what_stays_without_values_needs_memory() -> None:
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 2)
            self.beside = [self.inner.weight]

    sparing = Sparing(torch.float32, channels_last=False)
    with sparing.building(covered=True):
        made = Keeps()
    sparing.add(made)
    load_module(
        made, {"inner.weight": torch.ones(2, 2), "inner.bias": torch.ones(2)}, part="p", file=Path("w")
    )
    with pytest.raises(NeedsMemory):
        sparing.require_values()


def test_other_threads_are_let_alone() -> None:
    from threading import Thread

    made: list[nn.Module] = []
    sparing = Sparing(torch.float32, channels_last=False)
    with sparing.building(covered=True):
        thread = Thread(target=lambda: made.append(nn.Linear(2, 2)))
        thread.start()
        thread.join()
    assert not made[0].weight.is_meta


class Wrapper(nn.Module):
    """Another's network, which has files under its own names, of now and of before."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Tied()

    def read_weights(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        known = {name.replace("old.", "first."): value for name, value in tensors.items() if name != "ids"}
        known["last.weight"] = known["first.weight"]
        return {f"network.{name}": value for name, value in known.items()}


def test_a_network_reads_files_of_other_names() -> None:
    table = torch.ones(4, 3)
    foreign = {"old.weight": table, "mean": torch.ones(3), "ids": torch.arange(4)}
    assert torch.equal(filled(Wrapper, foreign).network.last.weight, table)
    assert list(foreign) == ["old.weight", "mean", "ids"]


def test_a_file_of_its_own_names_is_not_asked_for_others() -> None:
    own = {name: torch.ones_like(value) for name, value in Wrapper().state_dict().items()}
    assert torch.equal(filled(Wrapper, own).network.mean, torch.ones(3))


def test_what_is_missing_after_reading_is_told() -> None:
    with pytest.raises(WeightsError, match=r"1 missing: network\.mean"):
        filled(Wrapper, {"old.weight": torch.ones(4, 3)})


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="memory at its peak is read from /proc")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_loading_takes_little_more_memory_than_the_model(tmp_path: Path, dtype: str) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "schedule: cosine\nsampler: {use: ddim, steps: 4}\n"
        "denoiser: {use: adm-unet, image_size: 32, channels: 192, channel_mult: [1, 2, 3], res_blocks: 2, "
        "attention_resolutions: [8], head_channels: 64, learned_variance: false, weights: w.safetensors}\n"
    )
    catalogue = load_catalogue()
    plan = make_plan(read_spec(spec, catalogue=catalogue), catalogue)
    tensors = build.build_parts(plan, ["denoiser"], catalogue)["denoiser"].state_dict()
    save_file({name: value.normal_(std=0.02) for name, value in tensors.items()}, tmp_path / "w.safetensors")
    command = [sys.executable, str(MEASURE), str(spec), f"runtime.dtype={dtype}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    taken, size = map(int, ran.stdout.split())
    assert size > 2**27
    assert taken <= 1.1 * size + 2**25  # buffers of reading, and what torch makes once


def test_initialising_what_has_no_values_asks_no_kernel() -> None:
    """Some on the device `meta` are written in Python, and import a compiler to run."""

    class Initialises(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(2, 2))
            nn.init.normal_(self.table)
            nn.init.trunc_normal_(self.table, std=0.02)
            nn.init.xavier_uniform_(self.table)
            nn.init.zeros_(self.table)
            with torch.no_grad():
                self.table.normal_().mul_(2).add_(1)
            self.scale = self.table.shape[0] * torch.ones(2)

    from torch.utils._python_dispatch import TorchDispatchMode

    class Sees(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            assert not args or not getattr(args[0], "is_meta", False) or "detach" in str(func), func
            return func(*args, **(kwargs or {}))

    with Sees():
        made = spared(Initialises)
    assert made.table.is_meta
    assert torch.equal(made.scale, torch.full((2,), 2.0))

"""`runtime.compile` compiles the network that is trained; the run is that of no compiler, to rounding."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tests.plugins.train.tiny import PARTS, TinyDenoiser, config, make_run
from tests.plugins.train.trainers.test_networks import Classes, dit
from torch import Tensor, nn

from glidepath.core import PartError
from glidepath.core.conditioning import Conditioning
from glidepath.plugins.train.run import compiling
from glidepath.plugins.train.run.activations import _Forgetful
from glidepath.plugins.train.run.compiling import compile_network
from glidepath.plugins.train.run.run import WEIGHTS
from glidepath.plugins.train.run.trainable import build
from glidepath.plugins.train.scale.group import ALONE
from glidepath.plugins.train.trainers.diffusion import DiffusionTrainer
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec

STEPS = 3


class Plain(TinyDenoiser):
    """Nothing but what is computed."""

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        h = self.dropout(torch.nn.functional.silu(self.first(x) + t.float()[:, None, None, None] / 1000))
        output: Tensor = self.last(self.middle(h))
        return output


class Methodical(nn.Module):
    """Called by a method of its own."""

    def paint(self) -> None: ...


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[torch.fx.GraphModule]:
    """torch.compile without what needs a C++ compiler: graphs, forward and backward, run as they are."""
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    torch._dynamo.reset()
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _inputs: object) -> Any:
        graphs.append(graph)
        return make_boxed_func(graph.forward)

    settings = {"dynamic": False, "backend": aot_autograd(fw_compiler=keep)}
    monkeypatch.setattr(compiling, "_SETTINGS", settings)
    return graphs


def trained(
    folder: Path, denoiser: Any, *, stop: int | None = None, compiled: bool = True, **changes: Any
) -> None:
    run = attrs.evolve(make_run(folder, compiled=compiled), denoiser=denoiser)
    run = attrs.evolve(run, dataset=Classes(), text_encoder=None)
    values = {"steps": STEPS, "optimizer": "sgd", "checkpoint_every": 1, "learning_rate": 0.01}
    DiffusionTrainer(config(**(values | changes))).train(run, stop_after=stop)


def differences(one: Path, other: Path) -> Mapping[str, float]:
    """The largest of each tensor of the weights."""
    ours, theirs = load_file(one / WEIGHTS), load_file(other / WEIGHTS)
    assert ours.keys() == theirs.keys()
    return {key: float((ours[key].double() - it.double()).abs().max()) for key, it in theirs.items()}


def plain() -> Plain:
    torch.manual_seed(3)
    return Plain(text=False, dropout=0.3)


NETWORKS = {"plain": plain, "dit": lambda: dit(num_classes=4)}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "changes"),
    [("plain", {}), ("plain", {"accumulate": 3}), ("dit", {"checkpointing": True})],
    ids=["whole", "parts", "blocks"],
)
def test_the_weights_are_those_of_no_compiler(
    tmp_path: Path, traced: list[torch.fx.GraphModule], name: str, changes: dict[str, Any]
) -> None:
    """Dropout of parts of a batch included: a graph does not keep that of the first part for all."""
    trained(tmp_path / "plain", NETWORKS[name](), compiled=False, **changes)
    assert not traced
    trained(tmp_path / "compiled", NETWORKS[name](), **changes)
    assert traced
    assert max(differences(tmp_path / "plain", tmp_path / "compiled").values()) < 1e-6


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile asks g++ on a processor")
def test_a_compiled_run_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the compiler itself."""
    import torch._inductor.config

    torch._dynamo.reset()
    # what saves time from the third kernel on
    monkeypatch.setattr(torch._inductor.config, "cpp_cache_precompile_headers", False, raising=False)
    trained(tmp_path / "plain", plain(), compiled=False)
    trained(tmp_path / "whole", plain())
    torch._dynamo.reset()
    trained(tmp_path / "stopped", plain(), stop=1)
    torch._dynamo.reset()
    trained(tmp_path / "stopped", plain())
    assert max(differences(tmp_path / "whole", tmp_path / "stopped").values()) == 0
    assert max(differences(tmp_path / "plain", tmp_path / "whole").values()) < 1e-6


@pytest.mark.thorough
def test_a_compiler_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._inductor.config

    torch._dynamo.reset()
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    with pytest.raises(PartError, match=r"runtime.compile: .*no-such-compiler.*needs a C\+\+ compiler"):
        trained(tmp_path, plain())


def test_what_has_nothing_to_compile_is_refused() -> None:
    with pytest.raises(
        PartError, match=r"runtime.compile: the generator \(Methodical\) is called by methods"
    ):
        compile_network("generator", Methodical())


@pytest.mark.parametrize("wanted", ["true", "false", None])
def test_a_spec_says_it_for_training_too_and_the_memory_layout(tmp_path: Path, wanted: str | None) -> None:
    """On a CPU weights are trained row by row, unless a spec has them otherwise."""
    catalogue = load_catalogue()
    data = "data: {use: captioned-folder, folder: ., size: 8}\ntrain: {use: diffusion}\n"
    (tmp_path / "spec.yaml").write_text(PARTS + data)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("red")
    said = [f"runtime.{key}={wanted}" for key in ("compile", "channels_last") if wanted]
    plan = make_plan(read_spec(str(tmp_path / "spec.yaml"), said, catalogue=catalogue), catalogue)
    _trainer, run = build(plan, catalogue, tmp_path, torch.device("cpu"), ALONE)
    assert run.compiled is (wanted == "true")
    kernel = next(it for it in run.denoiser.parameters() if it.ndim == 4 and it.shape[2] == 3)
    assert kernel.is_contiguous() is (wanted != "true")


def test_another_stage_finds_no_block_that_forgets(tmp_path: Path) -> None:
    """It would copy what computes with the weights of the first."""
    made = dit(num_classes=4)
    trained(tmp_path, made, compiled=False, checkpointing=True)
    assert not [it for it in made.modules() if isinstance(vars(it).get("forward"), _Forgetful)]

"""`glidepath check` and `glidepath plan`: whether a spec is right, what it stands for, and its cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from glidepath.registry.assembly.cost import CannotMeasure, Measurement, measure
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec

ROOT = Path(__file__).parents[3]

# A denoiser of one convolution, and a sampler that asks twice in every step but the last.
PLUGIN = """
@attrs.frozen(kw_only=True)
class ConvConfig:
    channels: int = attrs.field(default=3, validator=attrs.validators.ge(1), metadata=doc("of the images"))
    mode: str = "plain"

@attrs.frozen(kw_only=True)
class HeunConfig:
    steps: int = 4

@hookimpl
def components():
    return [
        Component(kind="denoiser", name="conv", target="acme.parts:Conv", config=ConvConfig, summary="x"),
        Component(kind="sampler", name="trapezoid", target="acme.parts:Heun", config=HeunConfig, summary="x"),
        Component(kind="guidance", name="twice", target="acme.parts:Twice", summary="x"),
    ]
"""
PARTS = """
import torch
from torch import nn
from glidepath.core import Conditioning, Denoiser, Guidance, PartError, Sampler, State

CONSTANT = torch.ones(2)

class Conv(Denoiser):
    predicts = "epsilon"
    learned_variance = False
    reads = frozenset({"labels"})

    def __init__(self, config):
        super().__init__()
        self.mode = config.mode
        self.image_shape = (config.channels, 8, 8)
        self.conv = nn.Conv2d(config.channels, config.channels, 3, padding=1, bias=False)

    def takes(self, size):
        return ""

    def forward(self, x, t, conditioning):
        raise NotImplementedError

    def prepare(self, conditioning, levels):
        if self.mode == "labels" and conditioning.get("labels") is None:
            raise PartError("labels are needed")
        return lambda x, step: self.interpret(self._run(x), x, step)

    def _run(self, x):
        if self.mode == "attention":
            q = x.flatten(2)[:, None]
            x = nn.functional.scaled_dot_product_attention(q, q, q).reshape(x.shape)
        if self.mode == "reads back" and x.sum().item() > 0:
            return x
        return self.conv(x.to(self.conv.weight.dtype)).float()

class Heun(Sampler):
    def __init__(self, config):
        self.steps = config.steps

    def states(self, predict, x, levels, noise):
        steps = list(levels.steps(x.device))
        for index, step in enumerate(steps):
            value = predict(x, step).epsilon
            if index < len(steps) - 1:
                value = predict(x + value, step).epsilon
            x = x - value
            yield State(index + 1, len(steps), x, x)

class Twice(Guidance):
    def __call__(self, bind):
        def both(conditioning):
            predict = bind(conditioning)
            def guided(x, step):
                predict(x, step)
                return predict(x, step)
            return guided
        return both
"""
SPEC = "schedule: {use: cosine, num_steps: 100}\ndenoiser: conv\nsampler: {use: trapezoid, steps: 4}\n"
CONV_FLOPS = 2 * 8 * 8 * 3 * 3 * 9  # a multiply-add for each output, input channel and tap


@pytest.fixture
def acme(site: Any, tmp_path: Path) -> Any:
    """The bundled plugins and one with small parts; a spec of them in spec.yaml."""
    site.bundle()
    site.plugin("acme", PLUGIN, version="1.2")
    (site.folder / "acme" / "parts.py").write_text(PARTS)
    (tmp_path / "spec.yaml").write_text(SPEC)
    return site


def measured(spec: Path, *overrides: str, size: tuple[int, int] | None = None) -> Measurement:
    catalogue = load_catalogue()
    overrides = ("runtime.device=cpu", "runtime.dtype=float32", *overrides)
    plan = make_plan(read_spec(spec, overrides, catalogue=catalogue), catalogue)
    return measure(plan, catalogue, size)[""]


def test_a_right_spec_is_ok(acme: Any, glidepath_here: Any) -> None:
    assert glidepath_here("check", "spec.yaml") == (0, "spec.yaml: ok\n", "")
    document = json.loads(glidepath_here("check", "spec.yaml", "--json")[1])
    assert document == {"spec": "spec.yaml", "ok": True, "problems": [], "warnings": []}


def test_weights_that_are_not_there_are_a_warning_of_check(
    acme: Any, glidepath_here: Any, tmp_path: Path
) -> None:
    makers = (
        "`glidepath convert` makes them from a published checkpoint, `glidepath import` makes them known to "
        "a spec, from a folder of diffusers or a single file, `glidepath train` makes them from data"
    )
    for file, hint in (
        ("nosuch.safetensors", f"it would be {tmp_path / 'nosuch.safetensors'}; {makers}"),
        ("package:acme/nosuch.safetensors", ""),
    ):
        text = (tmp_path / "spec.yaml").read_text()
        (tmp_path / "new.yaml").write_text(f"{text}weights: {file}\n")
        status, out, err = glidepath_here("check", "new.yaml")
        assert (status, out) == (0, "new.yaml: ok, with 1 warning\n")
        document = json.loads(glidepath_here("check", "new.yaml", "--json")[1])
        (warning,) = document["warnings"]
        assert (document["ok"], err) == (True, f"glidepath: warning: {warning}\n")
        assert "has no file 'nosuch.safetensors'" in warning or "there is no file 'nosuch" in warning
        assert hint in warning
        # it is told beside a problem, too
        status, _, err = glidepath_here("check", "new.yaml", "--set", "sampler.stepz=3")
        assert (status, err.count(warning), "did you mean 'steps'" in err) == (2, 1, True)
        # `sample` refuses it in the same words
        assert glidepath_here("sample", "a star", "--spec", "new.yaml")[::2] == (2, f"{warning}\n")


def test_weights_of_another_width_are_a_problem_of_check(
    glidepath: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `sample` has them: the value with its place, and the tensors. Another schedule remains a warning."""
    assert glidepath("check", "shapes", "--set", "schedule=linear")[0] == 0
    status, out, err = glidepath("check", "shapes", "--set", "text_encoder.width=96")
    assert (status, out) == (2, "")
    assert err.startswith("--set #1: text_encoder.width is 96, and the weights were trained with 128\n")
    assert "do not fit text_encoder" in err
    document = json.loads(glidepath("check", "shapes", "--set", "text_encoder.width=96", "--json")[1])
    assert [problem["path"] for problem in document["problems"]] == ["text_encoder.width", ""]


def test_what_the_bundled_presets_wait_for_is_told_with_how_to_get_it(acme: Any, glidepath_here: Any) -> None:
    status, out, err = glidepath_here("check", "glide-clip")
    assert (status, out) == (0, "glide-clip: ok, with 5 warnings\n")
    for what in (
        "stages.base.denoiser (adm-unet) has no weights yet: it makes noise",
        "stages.upsample.denoiser (adm-unet) has no weights yet: it makes noise",
        "stages.base.guidance[0].clip (noised-clip) has no weights yet: it guides to nothing",
        "stages.base.text_encoder.tokenizer (bpe) can read no prompt yet: give it GPT-2's encoder.json",
        "stages.base.guidance[0].clip.tokenizer (clip-bpe) can read no prompt yet: give it CLIP's",
    ):
        assert err.count(what) == 1
    assert "name a file as stages.base.weights; `glidepath convert` makes" in err
    assert "name a file as stages.base.guidance[0].clip.weights; " in err
    assert "adm-classifier) has no weights yet" in glidepath_here("check", "adm-g-64")[2]
    for preset in ("shapes", "shapes-64", "shapes-clip", "shapes-clip-training", "shapes-upsample"):
        assert glidepath_here("check", preset) == (0, f"{preset}: ok\n", "")


def test_every_fault_is_told_with_its_place(acme: Any, glidepath_here: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "schedule: cosin\ndenoiser: {use: conv, channels: 0}\nsampler: trapezoid\n"
    )
    status, out, err = glidepath_here("check", "bad.yaml", "--set", "sampler.stepz=3")
    assert (status, out) == (2, "")
    assert "bad.yaml:1:11: " in err
    assert "did you mean 'cosine'?" in err
    assert "bad.yaml:2:33: " in err
    assert "--set #1" in err
    assert "Traceback" not in err


def test_faults_as_json(acme: Any, glidepath_here: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("schedule: cosin\ndenoiser: conv\nsampler: trapezoid\n")
    status, out, err = glidepath_here("check", "bad.yaml", "--json")
    document = json.loads(out)
    (problem,) = document["problems"]
    assert (status, err, document["ok"]) == (2, "", False)
    assert (problem["file"], problem["line"], problem["column"]) == ("bad.yaml", 1, 11)
    assert (problem["path"], "cosine" in problem["allowed"]) == ("schedule", True)


def test_a_fault_without_a_place_has_an_empty_one(acme: Any, glidepath_here: Any) -> None:
    (problem,) = json.loads(glidepath_here("check", "absent.yaml", "--json")[1])["problems"]
    assert problem["line"] == 0


@pytest.mark.parametrize(
    "switches", ["plugins: {deny: [bomb]}", "plugins: {allow: [glidepath-diffusion, acme]}"]
)
def test_the_switches_of_a_spec_act_before_any_import(
    acme: Any, glidepath_here: Any, tmp_path: Path, switches: str
) -> None:
    acme.plugin("bomb", "raise SystemExit('boom')")
    (tmp_path / "safe.yaml").write_text(f"{SPEC}{switches}\n")
    for command in (["check"], ["plan", "--quick"]):
        assert glidepath_here(*command, "safe.yaml", "--strict")[0] == 0
        assert "bomb" not in sys.modules
    assert glidepath_here("check", "spec.yaml", "--strict")[0] == 1


def test_checking_imports_no_torch(acme: Any, tmp_path: Path) -> None:
    code = (
        "import sys; from glidepath.registry.cli import main; status = main(sys.argv[1:]); "
        "raise SystemExit('imported torch' if 'torch' in sys.modules else status)"
    )
    folders = [*acme.path, *(str(ROOT / name) for name in ("core", "registry", "plugins"))]
    for command in (["check", "spec.yaml"], ["plan", "spec.yaml", "--quick"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *command],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr


def test_a_plan_says_where_each_value_is_from(acme: Any, glidepath_here: Any) -> None:
    status, out, _ = glidepath_here("plan", "spec.yaml", "--quick", "--set", "sampler.steps=7")
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert status == 0
    assert "schedule: cosine (from glidepath-diffusion 9.9)" in rows
    assert "num_steps 100 spec.yaml:1:36" in rows
    assert "max_beta 0.999 default" in rows
    assert "denoiser: conv (from acme 1.2)" in rows
    assert "steps 7 --set #1" in rows
    assert "codec: identity (from glidepath-diffusion 9.9)" in rows
    assert "weights: none; as initialised" in rows
    assert "cost of one image" not in rows


def test_a_plan_puts_inner_parts_behind_their_outer_ones(acme: Any, glidepath_here: Any) -> None:
    out = glidepath_here("plan", "shapes", "--quick")[1]
    heads = [line.split(":")[0] for line in out.splitlines() if not line.startswith(" ")]
    place = heads.index("text_encoder")
    assert heads[place + 1] == "text_encoder.tokenizer"
    assert "guidance[0]" in heads


def test_a_plan_as_json(acme: Any, glidepath_here: Any) -> None:
    document = json.loads(glidepath_here("plan", "spec.yaml", "--quick", "--json")[1])
    (sampler,) = (part for part in document["parts"] if part["path"] == "sampler")
    assert sampler["use"] == "acme/trapezoid"
    assert (sampler["distribution"], sampler["version"], sampler["place"]) == (
        "acme",
        "1.2",
        "spec.yaml:3:16",
    )
    assert sampler["parameters"] == {"steps": {"value": 4, "source": "spec.yaml:3:34"}}
    assert document["distributions"] == {"acme": "1.2", "glidepath-diffusion": "9.9"}
    assert document["runtime"]["device"] == "auto"
    assert document["tree"]["denoiser"] == {"use": "acme/conv", "channels": 3, "mode": "plain"}
    assert document["cost"] is None


def test_the_weights_of_a_part_are_shown(acme: Any, glidepath_here: Any) -> None:
    out = glidepath_here("plan", "spec.yaml", "--quick", "--set", "denoiser.weights=w.safetensors")[1]
    assert "w.safetensors" in out
    assert "as initialised" not in out


def test_a_plan_tells_the_cost_of_an_image(acme: Any, glidepath_here: Any) -> None:
    status, out, _ = glidepath_here("plan", "spec.yaml", "--set", "runtime.device=cpu")
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert status == 0
    assert "denoiser 81 parameters, 0.0 MiB" in rows
    assert "steps 4, 7 evaluations" in rows
    assert "one evaluation 10368 FLOP" in rows
    assert "in all 72576 FLOP" in rows
    cost = json.loads(glidepath_here("plan", "spec.yaml", "--json")[1])["cost"]
    assert (cost["total_flops"], cost["parameters"]) == (7 * CONV_FLOPS, {"denoiser": 81})


@pytest.mark.parametrize(
    ("flops", "text"),
    [(12, "12 FLOP"), (2 * 10**6, "2.00 MFLOP"), (34 * 10**11, "3.40 TFLOP"), (5 * 10**15, "5.00 PFLOP")],
)
def test_amounts_are_in_units_that_a_person_reads(
    acme: Any, glidepath_here: Any, monkeypatch: pytest.MonkeyPatch, flops: int, text: str
) -> None:
    cost = Measurement(
        parameters={"denoiser": 7},
        device="cpu",
        dtype="float32",
        weights={"denoiser": 3 * 2**30},
        activations={"text_encoder": 0, "model": 5 * 2**19, "codec": 2**19},
        steps=1,
        evaluations=1,
        rows=1,
        flops={"text_encoder": 0, "prepare": 0, "model": flops, "codec": 0},
    )
    monkeypatch.setattr("glidepath.registry.assembly.cost.measure", lambda *_: {"": cost})
    rows = [" ".join(line.split()) for line in glidepath_here("plan", "spec.yaml")[1].splitlines()]
    assert f"in all {text}" in rows
    assert "weights 3.00 GiB in float32 on cpu" in rows
    assert "activations 2.5 MiB at the most: steps 2.5 MiB, decoding 0.5 MiB" in rows


def test_flops_are_those_of_the_evaluations_that_the_sampler_makes(acme: Any, tmp_path: Path) -> None:
    cost = measured(tmp_path / "spec.yaml")
    assert (cost.steps, cost.evaluations, cost.rows) == (4, 2 * 4 - 1, 1)
    assert cost.flops == {"text_encoder": 0, "prepare": 0, "model": CONV_FLOPS, "codec": 0}
    assert cost.total_flops == 7 * CONV_FLOPS


def test_the_cost_of_another_size_is_that_of_its_pixels(
    acme: Any, tmp_path: Path, glidepath_here: Any
) -> None:
    own, larger = measured(tmp_path / "spec.yaml"), measured(tmp_path / "spec.yaml", size=(16, 32))
    assert larger.flops["model"] == 8 * own.flops["model"]
    assert larger.activation_bytes - 81 * 4 == 8 * (own.activation_bytes - 81 * 4)
    assert larger.weights == own.weights
    status, out, _ = glidepath_here("plan", "spec.yaml", "--size", "32x16", "--json")
    assert (status, json.loads(out)["cost"]["total_flops"]) == (0, larger.total_flops)


def test_a_stage_of_a_cascade_costs_what_its_share_of_the_size_does(
    acme: Any, tmp_path: Path, glidepath_here: Any
) -> None:
    stage = "denoiser: conv, schedule: {use: cosine, num_steps: 100}, sampler: {use: trapezoid, steps: 4}"
    second = f"{stage}, handover: {{use: image, strength: 0.5}}"
    (tmp_path / "stages.yaml").write_text(f"stages:\n  base: {{{stage}}}\n  again: {{{second}}}\n")
    status, out, _ = glidepath_here("plan", "stages.yaml", "--size", "16x16", "--json")
    stages = json.loads(out)["cost"]["stages"]
    assert status == 0
    assert {name: cost["flops"]["model"] for name, cost in stages.items()} == {
        "base": 4 * CONV_FLOPS,
        "again": 4 * CONV_FLOPS,
    }


def test_a_size_that_the_model_does_not_make_is_refused(acme: Any, glidepath_here: Any) -> None:
    status, _, err = glidepath_here("plan", "shapes", "--size", "33x32")
    assert status == 2
    assert "33x32" in err
    status, _, err = glidepath_here("plan", "spec.yaml", "--size", "16x16", "--quick")
    assert (status, "--quick leaves the cost out" in err) == (2, True)


def test_a_guidance_that_asks_twice_costs_twice(acme: Any, tmp_path: Path) -> None:
    cost = measured(tmp_path / "spec.yaml", "guidance=[twice]")
    assert cost.rows == 2
    assert cost.total_flops == 7 * 2 * CONV_FLOPS


def test_attention_counts_both_of_its_products(acme: Any, tmp_path: Path) -> None:
    """One head of 64 channels over 3 positions: q k^T, and the weights with v."""
    cost = measured(tmp_path / "spec.yaml", "denoiser.mode=attention")
    assert cost.flops["model"] == CONV_FLOPS + 2 * (2 * 3 * 3 * 64)


def test_a_denoiser_that_needs_labels_gets_one(acme: Any, tmp_path: Path) -> None:
    assert measured(tmp_path / "spec.yaml", "denoiser.mode=labels").total_flops == 7 * CONV_FLOPS


def test_weights_are_counted_in_the_precision_of_the_plan(acme: Any, tmp_path: Path) -> None:
    assert measured(tmp_path / "spec.yaml").weight_bytes == 81 * 4
    half = measured(tmp_path / "spec.yaml", "runtime.dtype=bfloat16")
    assert (half.weight_bytes, half.dtype, half.device) == (81 * 2, "bfloat16", "cpu")


def test_memory_is_the_most_that_lives_at_a_time(acme: Any, tmp_path: Path) -> None:
    """In float32 the output of the convolution and what it holds beside it on a CPU: its weight and its input
    in another order. In bfloat16 that is half, and x is there in bfloat16 too. Not the weights."""
    values = 3 * 8 * 8
    for overrides, held in (
        ((), 4 * (values + 81 + values)),
        (("guidance=[twice]",), 4 * (values + 81 + values)),
        (("runtime.dtype=bfloat16",), 2 * (values + values + 81 + values)),
    ):
        assert measured(tmp_path / "spec.yaml", *overrides).activations["model"] == held


def test_the_memory_of_a_plan_is_that_of_the_turn_that_takes_most(acme: Any, tmp_path: Path) -> None:
    """(x + 1) * 127.5 holds two images in float32 at a time."""
    cost = measured(tmp_path / "spec.yaml")
    steps = 4 * (192 + 81 + 192)
    assert cost.activations == {"text_encoder": 0, "model": steps, "codec": 2 * 192 * 4}
    assert cost.activation_bytes == steps
    assert cost.memory_bytes == 81 * 4 + steps
    assert cost.offloaded_bytes == cost.layer_bytes == 81 * 4 + steps


def test_a_plan_tells_the_memory_with_offload_and_without(acme: Any, glidepath_here: Any) -> None:
    rows = [" ".join(row.split()) for row in glidepath_here("plan", "spec.yaml")[1].split("\n")]
    assert "memory 0.0 MiB of tensors; with offload: parts 0.0 MiB, layers 0.0 MiB" in rows


def test_what_needs_more_than_shapes_cannot_be_measured_and_the_plan_still_shows(
    acme: Any, tmp_path: Path, glidepath_here: Any
) -> None:
    with pytest.raises(CannotMeasure, match="this plan cannot be measured"):
        measured(tmp_path / "spec.yaml", "denoiser.mode=reads back")
    status, out, _ = glidepath_here("plan", "spec.yaml", "--set", "denoiser.mode=reads back")
    assert status == 0
    assert "denoiser: conv" in out
    assert "cost unknown: this plan cannot be measured" in out


def test_constants_of_a_module_that_is_imported_to_be_measured_have_values(acme: Any, tmp_path: Path) -> None:
    measured(tmp_path / "spec.yaml")
    assert sys.modules["acme.parts"].CONSTANT.tolist() == [1, 1]


@pytest.mark.thorough
def test_measuring_the_bundled_preset_reads_no_weights(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glidepath.registry.assembly.weights.read", _refuse)
    catalogue = load_catalogue()
    plan = make_plan(read_spec("shapes", ["runtime.device=cpu"], catalogue=catalogue), catalogue)
    cost = measure(plan, catalogue)[""]
    assert cost.rows == 2
    assert cost.evaluations == cost.steps
    assert set(cost.parameters) == {"text_encoder", "denoiser"}
    assert cost.flops["text_encoder"] > 0


def _refuse(*_arguments: object) -> None:
    raise AssertionError("weights were read")

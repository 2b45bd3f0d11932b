"""Cascades: a spec of stages, each a spec itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from tests.registry.made_up import COMPONENTS, make_catalogue

from glidepath.registry.describe.component import Component
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.parts import Runtime
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import parse_spec, plugin_switches, read_spec
from glidepath.registry.text.canonical_json import canonical_json
from glidepath.registry.text.problems import Problem, SpecError


@attrs.frozen(kw_only=True)
class MakerConfig:
    image_size: int = 64
    channels: int = 3
    upsamples: bool = False


def _provides(config: MakerConfig) -> Mapping[str, object]:
    return {
        "image.size": config.image_size,
        "image.channels": config.channels,
        "image.upsamples": config.upsamples,
    }


MAKER = Component(
    kind="denoiser", name="maker", target="a:B", summary="s", config=MakerConfig, provides=_provides
)
CATALOGUE = make_catalogue(components=(*COMPONENTS, MAKER))

BASE = "schedule: cosine\ndenoiser: maker\nsampler: {use: ddim, steps: 30}\n"
CASCADE = """\
stages:
  small:
    schedule: cosine
    denoiser: maker
    guidance: classifier-free
    sampler: {use: ddim, steps: 30}
  large:
    schedule: {use: cosine, num_steps: 500}
    denoiser: {use: maker, image_size: 256, upsamples: true}
    sampler: {use: ddim, steps: 27}
"""


def to_plan(text: str, *overrides: str, **options: Any) -> Plan:
    return make_plan(parse_spec(text, "s.yaml", overrides, catalogue=CATALOGUE, **options), CATALOGUE)


def faults(text: str, *overrides: str, **options: Any) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        to_plan(text, *overrides, **options)
    return caught.value.problems


def told(problems: tuple[Problem, ...]) -> list[tuple[str, str, str]]:
    return [(str(problem.place), problem.path, problem.what) for problem in problems]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(name: str, *overrides: str, catalogue: Catalogue = CATALOGUE) -> Plan:
    return make_plan(read_spec(name, overrides, catalogue=catalogue), catalogue)


def test_a_cascade_has_a_plan_for_each_stage_in_the_order_of_the_spec() -> None:
    plan = to_plan(CASCADE + "runtime: {device: cpu}\n")
    assert list(plan.stages) == ["small", "large"]
    assert plan.parts == {}
    assert plan.pipelines() == plan.stages
    large = plan.stages["large"]
    assert large.path == "stages.large"
    assert large.parts["denoiser"].path == "stages.large.denoiser"
    assert large.parts["denoiser"].config.image_size == 256
    assert "guidance" not in large.parts
    assert plan.runtime == large.runtime == Runtime(device="cpu")
    assert [part.path for part in plan.all_parts()][:5] == [
        "stages.small.schedule",
        "stages.small.denoiser",
        "stages.small.guidance[0]",
        "stages.small.sampler",
        "stages.small.codec",
    ]
    assert plan.distributions == {"glidepath-diffusion": "1.2"}


def test_a_spec_without_stages_is_a_pipeline() -> None:
    plan = to_plan(BASE + "stages: null\n")
    assert plan.stages == {}
    assert plan.pipelines() == {"": plan}
    assert set(plan.parts) == {"schedule", "denoiser", "sampler", "codec"}


def test_the_sources_of_all_stages_are_told() -> None:
    sources = to_plan(CASCADE, "stages.large.sampler.steps=9").sources
    assert sources["stages.small.sampler.steps"] == "s.yaml:6:33"
    assert sources["stages.large.sampler.steps"] == "--set #1"
    assert sources["stages.large.denoiser.channels"] == "default"


def test_an_override_reaches_into_a_stage() -> None:
    plan = to_plan(CASCADE, "stages.large.sampler.steps=9", "stages.small.guidance[0].scale=1")
    assert plan.stages["large"].parts["sampler"].config.steps == 9
    assert plan.stages["small"].parts["sampler"].config.steps == 30
    assert plan.stages["small"].parts["guidance"][0].config.scale == 1
    changed = to_plan(CASCADE, "stages.small.sampler=ddpm", "stages.small.denoiser=tiny-unet")
    assert changed.stages["small"].parts["sampler"].config.steps == 150


def test_an_override_may_add_a_whole_stage_and_take_one_away() -> None:
    third = "{schedule: cosine, denoiser: {use: maker, image_size: 512, upsamples: true}, sampler: ddim}"
    assert list(to_plan(CASCADE, f"stages.third={third}").stages) == ["small", "large", "third"]
    assert list(to_plan(CASCADE, "stages.large=null").stages) == ["small"]


def test_an_override_of_a_stage_that_is_not_there_is_a_fault() -> None:
    (problem,) = faults(CASCADE, "stages.lage.sampler.steps=9")
    assert (str(problem.place), problem.path) == ("--set #1", "stages.lage")
    assert problem.what == "there is no stage 'lage'"
    assert problem.hint == "did you mean 'large'?"
    assert problem.allowed == ("small", "large")


def test_the_tree_of_a_cascade_is_a_spec_that_gives_the_same_plan(tmp_path: Path) -> None:
    text = CASCADE + "weights: w.pt\nruntime: {device: cpu}\nplugins: {deny: [other]}\n"
    plan = to_plan(text, "stages.small.weights=a.pt", folder=tmp_path)
    assert list(plan.tree) == ["stages", "weights", "runtime", "plugins"]
    assert plan.tree["stages"]["small"]["weights"].endswith("a.pt")
    assert "runtime" not in plan.tree["stages"]["small"]
    for indent in (None, 2):
        text = canonical_json(plan.tree, indent=indent)
        assert json.loads(text) == plan.tree
        again = to_plan(text, folder=tmp_path)
        assert canonical_json(again.tree) == canonical_json(plan.tree)
        assert list(again.stages) == ["small", "large"]


def test_the_tree_of_a_stage_is_a_spec_by_itself() -> None:
    stage = to_plan(CASCADE + "runtime: {device: cpu}\n").stages["small"]
    alone = to_plan(canonical_json(stage.tree))
    assert alone.stages == {}
    assert alone.tree == stage.tree


def test_canonical_json_sorts_all_but_the_stages() -> None:
    assert canonical_json({"stages": {"b": {"z": 1, "a": [{"d": 0, "c": 0}]}, "a": {}}, "c": 1}) == (
        '{"c":1,"stages":{"b":{"a":[{"c":0,"d":0}],"z":1},"a":{}}}'
    )


def test_each_file_of_weights_is_told_by_what_it_belongs_to(tmp_path: Path) -> None:
    plan = to_plan(
        CASCADE + "weights: all.pt\n",
        f"stages.small.weights={tmp_path}/small.pt",
        f"stages.large.denoiser.weights={tmp_path}/unet.pt",
        folder=tmp_path,
    )
    assert {path: Path(str(address)).name for path, address in plan.all_weights().items()} == {
        "": "all.pt",
        "stages.small": "small.pt",
        "stages.large.denoiser": "unet.pt",
    }


LARGE = "{use: maker, image_size: 256, upsamples: true}"
TOP = "write it at the top of the cascade"
FAULTS: Mapping[str, tuple[str, list[tuple[str, str, str]], str]] = {
    "all faults of all stages at once": (
        CASCADE.replace("cosine", "cosin", 1).replace("steps: 30", "stepz: 30").replace("steps: 27", "eta: 2")
        .replace("    schedule: {use: cosine, num_steps: 500}\n", ""),
        [("s.yaml:3:15", "stages.small.schedule", "there is no schedule named 'cosin'"),
         ("s.yaml:6:26", "stages.small.sampler.stepz", "sampler ddim has no parameter 'stepz'"),
         ("s.yaml:8:5", "stages.large.schedule", "a stage needs a schedule, and this has none"),
         ("s.yaml:9:31", "stages.large.sampler.eta", "eta is 2, which is out of range")], ""),
    "parts that do not fit within their stage": (
        CASCADE.replace("{use: ddim, steps: 27}", "{use: ddpm, steps: 600}"),
        [("s.yaml:10:20", "stages.large.sampler.variance",
          "stages.large.sampler (ddpm) needs prediction.learned_variance, and no part provides it"),
         ("s.yaml:10:33", "stages.large.sampler.steps",
          "stages.large.sampler (ddpm) does not fit stages.large.schedule (cosine), whose "
          "schedule.num_steps is 500: 600 of 500 steps cannot be visited")], ""),
    "a need that only a part of another stage meets": (
        CASCADE.replace("denoiser: maker\n", "denoiser: tiny-unet\n")
        .replace("{use: ddim, steps: 27}", "ddpm"),
        [("s.yaml:10:14", "stages.large.sampler.variance",
          "stages.large.sampler (ddpm) needs prediction.learned_variance, and no part provides it")], ""),
    "an upsampler first": (
        CASCADE.replace("denoiser: maker", "denoiser: {use: maker, upsamples: true}"),
        [("s.yaml:4:21", "stages.small.denoiser",
          "stages.small.denoiser (maker) is an upsampler, and its stage is the first")], ""),
    "no upsampler behind another stage": (
        CASCADE.replace(", upsamples: true", ""),
        [("s.yaml:9:21", "stages.large.denoiser",
          "stages.large.denoiser (maker) is no upsampler, and stands after another stage")], ""),
    "a denoiser that does not say is no upsampler": (
        CASCADE.replace(LARGE, "tiny-unet"),
        [("s.yaml:9:15", "stages.large.denoiser",
          "stages.large.denoiser (tiny-unet) is no upsampler, and stands after another stage")], ""),
    "images that do not grow": (
        CASCADE.replace("image_size: 256", "image_size: 64"),
        [("s.yaml:9:21", "stages.large.denoiser",
          "stages.large.denoiser (maker) makes images of 64 pixels from images of 64")], ""),
    "a stage that is another one again": (
        CASCADE + "  again: ${stages.large}\n",
        [("s.yaml:9:21", "stages.again.denoiser",
          "stages.again.denoiser (maker) makes images of 256 pixels from images of 256")], ""),
    "an absent codec is one of pixels": (
        CASCADE.replace("image_size: 256", "image_size: 256, channels: 4"),
        [("default", "stages.large.codec", "stages.large.codec (identity) has codec.channels 3, and "
          "stages.large.denoiser (maker) makes an x of 4")], ""),
    "a fault of a part leaves its place unjudged": (
        CASCADE.replace("image_size: 256", "image_sise: 256"),
        [("s.yaml:9:28", "stages.large.denoiser.image_sise", "denoiser maker has no parameter 'image_sise'")],
        ""),
    "a part beside the stages": (
        CASCADE + "sampler: ddim\n",
        [("s.yaml:11:1", "sampler", "a cascade has no sampler of its own: each of its stages has one")],
        "write it as `stages.small.sampler` or `stages.large.sampler`; `stages` is written at s.yaml:1:1"),
    "an unknown key": (
        CASCADE + "guidanse: []\n", [("s.yaml:11:1", "guidanse", "a spec has no 'guidanse'")], ""),
    "an unknown key of a stage": (
        CASCADE + "    smapler: ddim\n",
        [("s.yaml:11:5", "stages.large.smapler", "a stage has no 'smapler'")], "did you mean 'sampler'?"),
    "a runtime of a stage": (
        CASCADE + "    runtime: {device: cpu}\n",
        [("s.yaml:11:5", "stages.large.runtime", "a stage has no runtime of its own")], TOP),
    "plugins of a stage": (
        CASCADE + "    plugins: {deny: []}\n",
        [("s.yaml:11:5", "stages.large.plugins", "a stage has no plugins of its own")], TOP),
    "stages of a stage": (
        CASCADE + "    stages: {a: {}}\n",
        [("s.yaml:11:5", "stages.large.stages", "a stage is no cascade itself")],
        "write its stages beside the others"),
    "a slot inside a part of a stage": (
        CASCADE.replace("steps: 27", "steps: 27, guidance: odd"),
        [("s.yaml:10:37", "stages.large.sampler.guidance", "sampler ddim has no parameter 'guidance'")],
        "guidance is a slot of its own: write it at the top of the stage"),
    "an interpolation that leads nowhere in its stage": (
        CASCADE.replace("steps: 27", "steps: '${schedul.num_steps}'"),
        [("s.yaml:10:33", "stages.large.sampler.steps",
          "${schedul.num_steps} leads nowhere: 'schedul' is not written in stages.large")], ""),
    "no stages": (
        "stages: {}", [("s.yaml:1:9", "stages", "a cascade needs at least one stage")], ""),
    "no stage but null": (
        "stages: {a: null}", [("s.yaml:1:9", "stages", "a cascade needs at least one stage")], ""),
    "a list of stages": (
        "stages: [a]",
        [("s.yaml:1:9", "stages", "stages takes a mapping of names to specs, and this is a list")], ""),
    "a name for stages": (
        "stages: base",
        [("s.yaml:1:9", "stages", "stages takes a mapping of names to specs, and this is text")], ""),
    "a name for a stage": (
        "stages: {a: base}", [("s.yaml:1:13", "stages.a", "a stage takes a spec, and this is text")], ""),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_the_faults_of_a_cascade_are_told_with_their_places(name: str) -> None:
    text, expected, hint = FAULTS[name]
    problems = faults(text)
    assert told(problems) == expected
    assert not hint or problems[0].hint == hint


def test_what_is_no_fault_of_a_cascade() -> None:
    to_plan(CASCADE.replace("denoiser: maker\n", "denoiser: tiny-unet\n"))
    to_plan(CASCADE + "sampler: null\n")
    assert "runtime" not in faults(CASCADE + "    smapler: ddim\n")[0].allowed


def test_a_denoiser_made_of_others_provides_what_they_do() -> None:
    inner = "{use: ensemble, first: {use: maker, image_size: 256, upsamples: true}}"
    to_plan(CASCADE.replace("{use: maker, image_size: 256, upsamples: true}", inner))


def test_images_are_compared_in_pixels_whatever_their_codecs() -> None:
    text = CASCADE.replace("image_size: 256", "image_size: 32, channels: 4") + "    codec: latent\n"
    assert list(to_plan(text).stages) == ["small", "large"]


@pytest.mark.parametrize("name", ["a.b", "a b", "-a", "''", "é"])
def test_a_stage_has_a_plain_name(name: str) -> None:
    (problem,) = faults(CASCADE.replace("  small:", f"  {name!r}:" if name != "''" else "  '':"))
    assert problem.what.endswith("is no name of a stage")
    assert str(problem.place) == "s.yaml:2:3"


def test_a_stage_extends_a_preset_or_a_file(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "base.yaml").write_text(BASE)
    (folder / "sub" / "c.yaml").write_text("""\
stages:
  small: {extends: base.yaml, sampler: {steps: 9}}
  large: {extends: base.yaml, denoiser: {image_size: 256, upsamples: true}, weights: w.pt}
""")
    plan = read("sub/c.yaml")
    assert plan.stages["small"].parts["sampler"].config.steps == 9
    assert plan.stages["large"].parts["sampler"].config.steps == 30
    assert plan.sources["stages.small.sampler.use"] == "sub/base.yaml:3:16"
    assert plan.sources["stages.small.sampler.steps"] == "sub/c.yaml:2:48"
    assert str(plan.stages["large"].weights) == str(folder / "sub" / "w.pt")


def test_a_stage_may_extend_several(folder: Path) -> None:
    (folder / "base.yaml").write_text(BASE)
    (folder / "fast.yaml").write_text("sampler: {steps: 3}\n")
    (folder / "c.yaml").write_text("stages: {a: {extends: [base.yaml, fast.yaml]}}\n")
    assert read("c.yaml").stages["a"].parts["sampler"].config.steps == 3


def test_where_a_stage_runs_is_said_by_its_cascade(folder: Path) -> None:
    (folder / "base.yaml").write_text(BASE + "runtime: {device: 'cuda:3'}\n")
    (folder / "c.yaml").write_text("stages: {a: {extends: base.yaml}}\nruntime: {device: cpu}\n")
    assert read("c.yaml").runtime.device == "cpu"


def test_a_stage_takes_nothing_of_training_from_what_it_extends(folder: Path) -> None:
    """The slot `data` of the made-up catalogue takes no part in sampling, and nothing fits it."""
    (folder / "base.yaml").write_text(BASE + "data: nothing\n")
    (folder / "c.yaml").write_text("stages: {a: {extends: base.yaml}}\n")
    assert "data" not in read("c.yaml").stages["a"].parts
    with pytest.raises(SpecError, match="there is no dataset named 'nothing'"):
        read("c.yaml", "stages.a.data=nothing")


def test_plugins_of_what_a_stage_extends_are_not_dropped_in_silence(folder: Path) -> None:
    (folder / "base.yaml").write_text(BASE + "plugins: {deny: [acme]}\n")
    (folder / "c.yaml").write_text("stages: {a: {extends: base.yaml}}\n")
    with pytest.raises(SpecError) as caught:
        read("c.yaml")
    assert told(caught.value.problems) == [
        ("base.yaml:4:1", "stages.a.plugins", "a stage has no plugins of its own")
    ]
    read("c.yaml", "stages.a.plugins=null", "plugins={deny: [acme]}")


def test_a_stage_does_not_extend_a_cascade(folder: Path) -> None:
    (folder / "c.yaml").write_text(CASCADE)
    (folder / "d.yaml").write_text("stages: {a: {extends: [c.yaml, base.yaml]}}\n")
    (folder / "base.yaml").write_text(BASE)
    with pytest.raises(SpecError) as caught:
        read("d.yaml")
    assert told(caught.value.problems) == [("c.yaml:1:1", "stages.a.stages", "a stage is no cascade itself")]


def test_a_cascade_extends_a_cascade_stage_by_stage(folder: Path) -> None:
    (folder / "c.yaml").write_text(CASCADE)
    (folder / "d.yaml").write_text("""\
extends: c.yaml
stages:
  large: {sampler: {steps: 5}, guidance: {use: classifier-free, scale: 7}}
  huge:
    schedule: cosine
    denoiser: {use: maker, image_size: 512, upsamples: true}
    sampler: ddim
""")
    plan = read("d.yaml")
    assert list(plan.stages) == ["small", "large", "huge"]
    assert plan.stages["large"].parts["sampler"].config.steps == 5
    assert plan.stages["large"].parts["denoiser"].config.image_size == 256
    assert plan.stages["large"].parts["guidance"][0].config.scale == 7
    assert plan.stages["small"].parts["sampler"].config.steps == 30


def test_what_a_stage_extends_lies_on_the_stage_of_the_cascade_below(folder: Path) -> None:
    (folder / "c.yaml").write_text(CASCADE)
    (folder / "fast.yaml").write_text("sampler: {steps: 3}\n")
    (folder / "d.yaml").write_text(
        "extends: c.yaml\nstages: {large: {extends: fast.yaml, schedule: cosine}}\n"
    )
    large = read("d.yaml").stages["large"]
    assert (large.parts["sampler"].config.steps, large.parts["schedule"].config.num_steps) == (3, 500)


def test_a_stage_that_extends_what_is_not_there_is_told_with_its_path(folder: Path) -> None:
    (folder / "c.yaml").write_text("stages:\n  a: {extends: absent.yaml}\n  b: {extends: [c.yaml]}\n")
    with pytest.raises(SpecError) as caught:
        read("c.yaml")
    assert told(caught.value.problems) == [
        ("c.yaml:2:16", "stages.a.extends", "there is no file absent.yaml"),
        ("c.yaml:3:17", "stages.b.extends", "extends leads in a circle"),
    ]


def test_extends_of_a_stage_cannot_be_set() -> None:
    (problem,) = faults(CASCADE, "stages.large.extends=base")
    assert (problem.what, problem.path) == ("extends cannot be set", "stages.large.extends")
    (problem,) = faults(CASCADE, "stages.large={extends: base}")
    assert (problem.what, problem.path) == ("extends cannot be set", "stages.large.extends")


def test_a_strangers_cascade_extends_nothing(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(BASE)
    problems = faults(CASCADE + "    extends: base.yaml\n", folder=tmp_path, untrusted=True)
    assert told(problems) == [
        (
            "s.yaml:11:5",
            "stages.large.extends",
            "a spec that came with an image or a checkpoint extends nothing",
        )
    ]


def test_paths_of_interpolations_start_at_the_top_of_their_stage(folder: Path) -> None:
    text = "schedule: {use: cosine, num_steps: 40}\ndenoiser: maker\nsampler: {use: ddim, steps: '${N}'}\n"
    (folder / "base.yaml").write_text(text.replace("${N}", "${schedule.num_steps}"))
    (folder / "c.yaml").write_text("""\
stages:
  small: {extends: base.yaml}
  large:
    extends: base.yaml
    schedule: {num_steps: 7}
    denoiser: {image_size: "${stages.huge.denoiser.image_size}", upsamples: true}
  huge:
    extends: base.yaml
    denoiser: {image_size: 512, upsamples: true}
""")
    with pytest.raises(SpecError) as caught:
        read("c.yaml")
    assert [problem.what for problem in caught.value.problems] == [
        "stages.huge.denoiser (maker) makes images of 512 pixels from images of 512"
    ]
    plan = read("c.yaml", "stages.huge.denoiser.image_size=1024", "stages.large.denoiser.image_size=256")
    steps = [stage.parts["sampler"].config.steps for stage in plan.stages.values()]
    assert steps == [40, 7, 40]


def test_interpolations_between_stages_may_not_run_in_a_circle() -> None:
    text = CASCADE.replace("steps: 27", "steps: '${stages.small.sampler.steps}'").replace(
        "steps: 30", "steps: '${stages.large.sampler.steps}'"
    )
    assert faults(text)[0].what == "interpolations refer to one another in a circle"


def test_the_switches_for_plugins_stand_at_the_top_of_a_cascade(folder: Path) -> None:
    (folder / "c.yaml").write_text(CASCADE + "plugins: {deny: [acme]}\n")
    assert plugin_switches("c.yaml").deny == ("acme",)

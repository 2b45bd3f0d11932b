"""Variants side by side: an axis in a study's grammar, the same noise, and the file of the same study."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from glidepath.core import GlidepathError, Request
from glidepath.plugins.page.comparing import MOST_VARIANTS, read_axes, variants
from glidepath.plugins.page.jobs import Job
from glidepath.plugins.page.measuring import _unmet, measured, unsuited
from glidepath.plugins.page.state import Desk
from glidepath.registry import (
    Need,
    build_part,
    build_pipeline,
    image_in,
    load_catalogue,
    make_plan,
    parse_spec,
    plan_part,
)

from .conftest import QUICK


def test_axes_are_written_as_in_a_study(desk: Desk) -> None:
    axes = read_axes("sampler: [ddim, dpmpp-2m]\nscale: {at: 'guidance[0].scale', values: {low: 1, high: 4}}")
    labels = [variant.label for variant in variants(desk.specs, QUICK, axes)]
    assert labels == [
        f"sampler {sampler}, scale {scale}" for sampler in ("ddim", "dpmpp-2m") for scale in ("low", "high")
    ]
    last = variants(desk.specs, QUICK, axes)[-1].plan
    assert last.tree["sampler"]["use"].endswith("/dpmpp-2m")
    assert last.tree["guidance"][0]["scale"] == 4


@pytest.mark.parametrize(
    "text",
    [
        "s: {at: sampler.steps, range: {from: 9, to: 2, step: -3}}",
        "s: {at: 'guidance[0].scale', range: {from: 0.1, to: 0.7, step: 0.1}}",
        "s: {at: 'guidance[0].scale', range: {from: 1, to: 8, count: 4, scale: log}}",
        "s: {at: sampler.steps, range: {from: 2, to: 6, count: 3}}",
        "s: {zip: {sampler: [ddim, ddpm], sampler.steps: [2, 5]}, labels: [few, many]}",
        "g: {cases: {none: {remove: guidance}, cfg: {axes: {'guidance[0].scale': [1, 3]}}}}",
        "g: {cases: {a: {set: {sampler: ddpm, sampler.steps: 5}}, b: {remove: [guidance]}}}\n"
        "sampler.steps: [2, 3]",
        "sampler: [ddim, dpmpp-2m]",
        "extends: [shapes, emoji]\nsampler.steps: [2, 3]",
        "sampler.eta: [0, 1]\nbase: {at: extends, values: {one: shapes, other: [shapes, shapes-clip]}}",
        "sampler: [{eta: 0.5}, {use: ddim, temperature: 0.9}, {use: ddpm, clip: false}]",
        "s: {at: sampler.use, values: [ddim, ddpm], drop_unknown: true}",
        "s: {zip: {sampler.use: [ddim, ddpm], sampler.steps: [2, 5]}, drop_unknown: true}",
        "g: {cases: {a: {set: {sampler.use: ddpm}, drop_unknown: true}, b: {remove: guidance}}}",
    ],
)
def test_variants_are_the_arms_of_the_study(desk: Desk, tmp_path: Path, text: str) -> None:
    """The reader of studies is the other side: of the saved file it makes the same specs, and as many."""
    from glidepath.plugins.studies.study.reader import read_study

    base = "extends: shapes\nsampler: {use: ddim, steps: 3, eta: 0.5}\n"
    asked = {"text": base, "prompts": ["a red circle"], "axes": text}
    (tmp_path / "comparison.yaml").write_text(str(desk.study(asked)["text"]))
    arms = read_study(tmp_path / "comparison.yaml", catalogue=load_catalogue()).arms
    made = [variant.plan.tree for variant in variants(desk.specs, base, read_axes(text))]
    for slot in ("sampler", "guidance", "schedule", "denoiser", "weights"):
        # none at all is null in the text, and an empty list in an arm
        assert [tree.get(slot) or [] for tree in made] == [arm.tree().get(slot) or [] for arm in arms]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "mapping of paths to lists"),
        ("- a", "mapping of paths to lists"),
        ("sampler: ddim", "a list, or a mapping"),
        ("sampler: [ddim]", "make 1 variant,"),
        ("a.b: [1, 2, 3, 4]\nc.d: [1, 2, 3]", "12 variants"),
        ("a.b: []", "no values"),
        ("../x: [1, 2]", "no place in a spec"),
        ("x: {zip: {a: [1], b: [1, 2]}}", "equally long"),
        ("x: {zip: {a: [1, 2]}, labels: [one]}", "labels takes a list of 2"),
        ("x: {at: a, values: [1, 2], zip: {a: [1, 2]}}", "one of values, range, zip and cases"),
        ("x: {at: a, values: [1, 2], drop_unknown: often}", "drop_unknown is true or false"),
        ("x: {cases: {a: {drop_unknown: 1}, b: {remove: a}}}", "drop_unknown is true or false"),
        ("x: {at: a, values: [1, 2], drop: true}", "an axis of values has no drop on the page"),
        ("x: {at: a, values: [1, 1]}", "two values are called 'x 1'"),
        ("x: {cases: {a: {put: {b: 1}}}}", "mapping of set, remove, axes"),
        ("x: {cases: {a: {axes: {b: [1, 2]}}, c: {set: [1]}}}", "set is a mapping"),
        ("x: {at: a, range: {from: 1, to: 1000000000000, step: 1}}", "1,000,000,001 variants"),
        ("x: {at: a, range: {from: 1, to: 2, step: 1.0e-320}}", "1,000,000,001 variants"),
        ("x: {at: a, range: {from: 1, to: 3, step: -1}}", "leads from its first"),
        ("x: {at: a, range: {from: 0, to: 3, count: 2, scale: log}}", "log is above 0"),
        ("x: {at: a, range: {from: 1, to: true, count: 2}}", "of numbers"),
        ("x: {at: a, range: [1, 2]}", "a range is"),
        ("a: &x [1, 2]\nb: *x", "no aliases"),
        ("a: [", "no YAML"),
        ("x" * 5_000, "at most 4,000"),
    ],
)
def test_what_is_no_axis_is_told(text: str, reason: str) -> None:
    with pytest.raises(GlidepathError, match=reason):
        read_axes(text)


def test_a_variant_says_what_it_has_beside_its_axis(desk: Desk) -> None:
    """Another sampler has its own number of steps, which is not the axis."""
    text = "extends: shapes\nsampler: {steps: 8}\n"
    first, second = variants(desk.specs, text, read_axes("sampler: [ddim, dpmpp-2m]"))
    assert first.about == "guidance[0].scale 3.0, sampler.steps 8"
    assert second.about == "guidance[0].scale 3.0, sampler.steps 20 (8 in the first)"
    first, second = variants(desk.specs, text, read_axes("sampler: [{steps: 2}, {steps: 3}]"))
    assert second.about == "guidance[0].scale 3.0, sampler ddim"


@pytest.mark.parametrize(
    ("axes", "reason"),
    [
        ("weights: [/etc/passwd.safetensors, x.pt]", "may name no file"),
        ("weights: ['hub:a/b', 'hub:c/d']", "fetches nothing from a hub"),
        ("sampler.eta: ['${oc.env:HOME}', 0]", "environment"),
        ("extends: [shapes, /etc/passwd.yaml]", "no spec '/etc/passwd.yaml' that this one may extend"),
        ("extends: [shapes, 'hub:a/b']", "no spec 'hub:a/b' that this one may extend"),
    ],
)
def test_a_variant_has_a_strangers_rights(client: Any, axes: str, reason: str) -> None:
    asked = {"text": QUICK, "prompts": ["a red circle"], "axes": axes}
    answer = client.post("/api/compare", json=asked)
    assert answer.status_code == 400
    assert reason in answer.json()["problem"]


def test_metrics_are_offered_that_judge_images_and_need_to_be_told_nothing(desk: Desk) -> None:
    names = [it["name"] for it in desk.known["metrics"]]
    assert {"shapes-accuracy", "emoji-object", "diversity"} <= set(names)
    assert not {"python", "command", "judged", "clip-score", "kid", "seconds-per-image"} & set(names)


def test_metrics_that_cannot_suit_a_model_are_told_with_the_reason(desk: Desk) -> None:
    def why(*presets: str, count: int = 1) -> dict[str, str]:
        plans = [desk.specs.plan(f"extends: {name}\n") for name in presets]
        return unsuited(plans, count, desk.catalogue)

    pair = {"diversity": "needs 2 images of each prompt"}
    assert why("emoji") == pair  # it knows red circles, too
    assert why("emoji", count=2) == {}
    told = why("shapes", count=2)
    assert set(told) == {"emoji-object", "emoji-style", "emoji-tone"}
    assert "such as 'a red apple, 3d': the model knows no such words" in told["emoji-object"]
    assert why("emoji", "shapes", count=2) == told  # all of them are measured, or none


@pytest.mark.parametrize("channels", [3, 4])
def test_a_metric_whose_needs_are_not_met_is_told(desk: Desk, channels: int) -> None:
    metric = plan_part("metric", "shapes-accuracy", {}, desk.catalogue)
    needy = attrs.evolve(
        metric.registered.component, needs=lambda _config: {"codec.channels": Need(value=channels)}
    )
    metric = attrs.evolve(metric, registered=attrs.evolve(metric.registered, component=needy))
    told = _unmet(metric, desk.specs.plan("extends: shapes\n"), desk.catalogue)
    assert ("codec.channels" in told) == (channels == 4), told


def test_what_shows_nothing_is_not_measured(client: Any, desk: Desk) -> None:
    job = Job("make", "x", dict)  # type: ignore[arg-type] - it is not run
    desk.queue._jobs[job.id] = job
    for asked, reason in (
        ({"metric": "shapes-accuracy", "jobs": []}, "1 to 9 jobs"),
        ({"metric": ["x"], "jobs": [job.id]}, "1 to 9 jobs"),
        ({"metric": "shapes-accuracy", "jobs": ["nowhere"]}, "no such job"),
    ):
        assert reason in client.post("/api/measure", json=asked).json()["problem"]
    for name, reason in (
        ("python", "needs no parameters"),
        ("shapes-accuracy", "only variants that are done"),
    ):
        with pytest.raises(GlidepathError, match=reason):
            measured(name, [job], desk.history, desk.catalogue)


@pytest.mark.thorough
def test_variants_are_made_of_one_noise(client: Any, desk: Desk, finished: Any) -> None:
    asked = {"text": QUICK, "prompts": ["a red circle"], "seed": 5, "axes": "sampler.steps: [1, 2]"}
    answer = client.post("/api/compare", json=asked)

    class Each:
        status_code = 200

        def __init__(self, job: Any) -> None:
            self.json = lambda: job

    jobs = [finished(Each(job)) for job in answer.json()["jobs"]]
    assert [job["state"] for job in jobs] == ["done", "done"]
    assert {job["group"] for job in jobs} == {answer.json()["group"]}
    assert "emoji-object" in answer.json()["unsuited"]
    manifests = [image_in(client.get(f"/images/{job['result']['files'][0]}").content, "x")[1] for job in jobs]
    assert len({manifest.images.keys[0] for manifest in manifests if manifest.images}) == 1
    assert [manifest.spec["sampler"]["steps"] for manifest in manifests] == [1, 2]

    ids = [job["id"] for job in jobs]
    told = finished(client.post("/api/measure", json={"metric": "shapes-accuracy", "jobs": ids}))
    assert told["state"] == "done", told["message"]
    metric = build_part(plan_part("metric", "shapes-accuracy", {}, desk.catalogue), desk.catalogue)
    for job, said in zip(jobs, told["result"]["variants"], strict=True):
        text = QUICK.replace("3", str(ids.index(job["id"]) + 1))
        plan = make_plan(parse_spec(text, "text", catalogue=desk.catalogue), desk.catalogue)
        images = build_pipeline(plan, desk.catalogue)(Request(prompts=["a red circle"], seed=5))
        assert said["scores"] == list(metric.per_prompt(images.cpu(), ["a red circle"]))
        assert said["mean"] == said["scores"][0]


@pytest.mark.thorough
def test_the_same_comparison_is_a_study_that_glidepath_plans(client: Any, tmp_path: Path) -> None:
    asked = {
        "text": "extends: shapes\nsampler: {steps: 3}\n",
        "prompts": ["a red circle", "a blue star"],
        "seed": 5,
        "count": 2,
        "axes": "sampler: [ddim, dpmpp-2m]\nscale: {at: 'guidance[0].scale', values: [1, 3]}",
    }
    answer = client.post("/api/study", json=asked).json()
    (tmp_path / answer["name"]).write_text(answer["text"])
    done = subprocess.run(
        [sys.executable, "-m", "glidepath.registry.cli", "study", "plan", answer["name"], "--no-probe"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "4 arms, 40 trials" in done.stdout
    assert "no difference, however large" not in done.stdout  # it can show one
    assert yaml.safe_load(io.StringIO(answer["text"]))["seeds"] == {"sample": list(range(5, 15))}


def test_the_file_of_a_study_can_show_a_difference_and_says_what_to_add(desk: Desk) -> None:
    """Signs flip in 2^n ways, and of two sides both are counted; Holm divides by the comparisons."""
    asked = {"text": QUICK, "prompts": ["a red circle"], "seed": 3, "axes": "sampler.steps: [1, 2]"}
    text = str(desk.study(asked)["text"])
    seeds = yaml.safe_load(text)["seeds"]["sample"]
    assert seeds[0] == 3
    assert 2 / 2 ** len(seeds) < 0.05 / (MOST_VARIANTS - 1)
    lines = text.splitlines()
    for key in ("seeds", "data", "metrics"):
        assert lines[next(i for i, line in enumerate(lines) if line.startswith(key)) - 1].startswith("# ")


def test_what_no_study_draws_is_told(client: Any) -> None:
    asked = {"text": QUICK, "prompts": ["x"], "axes": "sampler.steps: [1, 2]", "labels": [3]}
    assert "from classes" in client.post("/api/study", json=asked).json()["problem"]
    asked = {**asked, "labels": [], "pictures": {"image": "AAAA"}, "strength": 0.5}
    assert "from a picture" in client.post("/api/study", json=asked).json()["problem"]

"""Where results are from: the machine in words, and the weights by their digests."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

import pytest

from glidepath.plugins.studies.engines import environment as machines
from glidepath.plugins.studies.engines.environment import machine, machine_name
from glidepath.plugins.studies.run.collect import collect
from glidepath.plugins.studies.run.weights_used import weights_used
from glidepath.plugins.studies.statistics.results import Provenance
from glidepath.plugins.studies.store.store import Attempt
from glidepath.registry.text.canonical_json import canonical_json

from .test_run import STUDY, open_study, run

LINUX = {"system": "Linux", "machine": "x86_64", "cores": 2, "processor": "AMD EPYC 7B13"}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (LINUX, "x86-64 CPU (AMD EPYC 7B13), 2 cores, Linux"),
        ({**LINUX, "cores": 1, "processor": None}, "x86-64 CPU, 1 core, Linux"),
        ({**LINUX, "gpu": "NVIDIA H100 80GB HBM3"}, "NVIDIA H100 80GB HBM3"),
        ({"system": "Darwin", "machine": "arm64", "cores": None}, "ARM64 CPU, macOS"),
        ({"system": "Windows", "machine": "AMD64", "cores": 8}, "x86-64 CPU, 8 cores, Windows"),
        ({"system": "Linux", "machine": "riscv64", "cores": 4}, "riscv64 CPU, 4 cores, Linux"),
        # records of before told no more than this
        ({}, ""),
    ],
)
def test_a_machine_is_told_by_its_hardware_and_as_far_as_its_record_goes(
    record: dict[str, object], said: str
) -> None:
    assert machine_name(record) == said


def test_the_model_of_a_processor_is_what_linux_says_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel\t\t: 1\nmodel name\t: Some  CPU @ 2.0GHz\n\nmodel name\t: other\n")
    monkeypatch.setattr(machines, "_CPUINFO", file)
    assert machine()["processor"] == "Some CPU @ 2.0GHz"
    file.write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    for said in ("", "unknown", platform.machine()):
        monkeypatch.setattr(platform, "processor", lambda said=said: said)
        assert machine()["processor"] is None
    file.unlink()
    monkeypatch.setattr(platform, "processor", lambda: "Intel64 Family 6")
    assert machine()["processor"] == "Intel64 Family 6"


def provenance(folder: Path, text: str, *overrides: str) -> Provenance:
    assert run(folder, text, *overrides).failed == 0
    study, graph, store = open_study(folder, text, *overrides)
    return collect(study, graph, store).provenance


def test_a_report_tells_the_hardware_and_the_weights_and_no_name_of_a_host(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "node", lambda: "name-of-a-host")
    found = provenance(small, STUDY)
    assert found.hardware == machine_name(machine())
    digest = hashlib.sha256((small / "small.safetensors").read_bytes()).hexdigest()
    assert found.more == {"weights small.safetensors": f"sha256 {digest[:16]}"}
    assert "name-of-a-host" not in repr(found)


@pytest.mark.thorough
def test_weights_that_a_study_trained_are_told_by_their_digests(small: Path) -> None:
    found = provenance(small, STUDY + "seeds: {train: 2, sample: 1}\n")
    digests = {
        hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        for file in (small / "results").rglob("weights.safetensors")
    }
    assert len(digests) == 2
    [(name, said)] = found.more.items()
    assert name == "weights weights.safetensors"
    assert set(said.removeprefix("sha256 ").split(", ")) == digests


def attempt(folder: Path, spec: object, weights: object) -> Attempt:
    folder.mkdir()
    (folder / "manifest.json").write_text(canonical_json({"spec": spec, "weights": weights}))
    return Attempt("key", 1, folder, "done", {"stage": "sample"})


def test_files_of_weights_are_named_as_the_spec_names_them_for_each_part(tmp_path: Path) -> None:
    guidance = [{"use": "clip", "clip": {"weights": {"path": "hub:owner/name/clip.pt"}}}]
    spec = {"weights": "package:some.package/shapes.safetensors", "guidance": guidance}
    parts = attempt(tmp_path / "a", spec, {"": "1" * 64, "guidance[0].clip": "2" * 64, "gone[3]": "3" * 64})
    assert weights_used([parts]) == {
        "": "3" * 16, "clip.pt": "2" * 16, "shapes.safetensors": "1" * 16,
    }  # fmt: skip


def test_of_many_files_of_weights_four_are_told_and_how_many_more(tmp_path: Path) -> None:
    names = [f"{number:064d}"[::-1] for number in range(1, 8)]
    many = [attempt(tmp_path / name[:2], {"weights": "weights.safetensors"}, {"": name}) for name in names]
    [said] = weights_used([*many, *many]).values()
    assert said == ", ".join(name[:16] for name in names[:4]) + ", and 3 more"


def test_where_no_record_says_which_weights_there_were_none_are_told(tmp_path: Path) -> None:
    assert weights_used([Attempt("key", 1, tmp_path, "done", {"stage": "sample"})]) == {}
    (tmp_path / "manifest.json").write_text(json.dumps({"weights": {"": "1" * 64}}))
    assert weights_used([Attempt("key", 1, tmp_path, "done", {"stage": "train"})]) == {}

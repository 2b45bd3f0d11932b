"""A hostile spec ends in an error within a second, reads no environment variable, imports nothing.

The specs are read in another process, where a hang costs a timeout and not the run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from .hostile import files, texts

ROOT = Path(__file__).parents[3]
TIMEOUT = 240


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Any]]:
    """What became of every hostile spec."""
    folder = tmp_path_factory.mktemp("hostile")
    path = [str(ROOT), *(str(ROOT / name) for name in ("core", "registry", "plugins"))]
    program = (
        f"import sys, pathlib; sys.path[:0] = {path!r}\n"
        "from tests.registry.spec.hostile import main\n"
        "main(pathlib.Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert not (folder / "pwned").exists()
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [name for name, _ in texts()] + [name for name, _ in files(tmp_path_factory.mktemp("names"))]


@pytest.mark.thorough
def test_every_hostile_spec_was_read(outcomes: Mapping[str, Mapping[str, Any]], names: list[str]) -> None:
    assert list(outcomes) == names


def test_a_hostile_spec_ends_in_a_spec_error(outcomes: Mapping[str, Mapping[str, Any]]) -> None:
    wrong = {
        name: outcome["result"] for name, outcome in outcomes.items() if outcome["result"] != "spec error"
    }
    assert wrong == {}


def test_a_hostile_spec_ends_within_a_second(outcomes: Mapping[str, Mapping[str, Any]]) -> None:
    assert {name: outcome["seconds"] for name, outcome in outcomes.items() if outcome["seconds"] > 1} == {}


def test_a_hostile_spec_imports_nothing(outcomes: Mapping[str, Mapping[str, Any]]) -> None:
    assert {name: outcome["modules"] for name, outcome in outcomes.items() if outcome["modules"]} == {}


def test_a_hostile_spec_reads_no_environment_variable(outcomes: Mapping[str, Mapping[str, Any]]) -> None:
    assert {
        name: outcome["environment"] for name, outcome in outcomes.items() if outcome["environment"]
    } == {}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("deep lists", "s.yaml:1:53: the spec is nested more than 50 levels deep"),
        ("deep mappings", "the spec is nested more than 50 levels deep"),
        ("deep block mappings", "the spec is nested more than 50 levels deep"),
        ("laughs in lists", "aliases make the spec larger than 10,000 values"),
        ("laughs in mappings", "aliases make the spec larger than 10,000 values"),
        ("python object", "s.yaml:4:4: the tag '!!python/object/apply:os.system' is not accepted here"),
        ("python path", "the tag '!!python/object/apply:pathlib.PosixPath' is not accepted here"),
        ("python name", "the tag '!!python/name:os.system' is not accepted here"),
        ("verbatim tag", "the tag '!!python/name:os.system' is not accepted here"),
        ("dotted use", "s.yaml:3:16: there is no sampler named 'os.system'"),
        ("target", "sampler does not say which sampler it is"),
        ("oc.env:HOME", "a spec may not read the environment"),
        ("100 megabytes", "is larger than 524,288 bytes"),
        ("doubling extends", "files"),
        ("long extends", "the spec extends more than 100 files"),
        ("many values", "the spec has more than 10,000 values"),
        ("nothing but controls", "this character may not stand in YAML"),
        ("doubling texts", "interpolations make this text longer than 10,000 characters"),
        ("doubling lists", "interpolations make the spec larger than 10,000 values"),
        ("long circle", "interpolations refer to one another in a circle"),
    ],
)
def test_a_hostile_spec_is_told_why(outcomes: Mapping[str, Mapping[str, Any]], name: str, what: str) -> None:
    assert any(what in problem for problem in outcomes[name]["problems"]), outcomes[name]["problems"]

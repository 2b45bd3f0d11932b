"""An exception while images are made says whose part raised it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.registry.tiny import SPEC, write_tiny

from glidepath.core.errors import PartError
from glidepath.registry.cli import main

PLUGIN = """
@attrs.frozen(kw_only=True)
class Config:
    error: str = ""

@hookimpl
def components():
    return [
        Component(kind="schedule", name="wave", target="acme.parts:Wave", config=Config, summary="x"),
        Component(kind="guidance", name="pull", target="acme.parts:Pull", config=Config, summary="x"),
        Component(kind="guidance", name="push", target="acme.parts:Push", config=Config, summary="x"),
    ]
"""
PARTS = """
from glidepath.core.errors import PartError
from glidepath.core.guidance import Guidance
from glidepath.plugins.schedules.configs import CosineConfig
from glidepath.plugins.schedules.cosine import CosineSchedule
from acme.helper import fail

class Wave(CosineSchedule):
    def __init__(self, config):
        super().__init__(CosineConfig())
        self.error = config.error

    def levels(self, *arguments, **keywords):
        fail(self.error)
        return super().levels(*arguments, **keywords)

class Pull(Guidance):
    def __init__(self, config):
        self.error = config.error

    def __call__(self, bind):
        def bound(conditioning):
            predict = bind(conditioning)
            def guided(x, step):
                fail(self.error)
                return predict(x, step)
            return guided
        return bound

class Push(Pull):
    pass
"""
HELPER = """
from glidepath.core.errors import PartError

def fail(error):
    if error == "part":
        raise PartError("no such wave")
    if error:
        raise {"value": ValueError, "key": KeyError}[error]("no such wave")
"""


@pytest.fixture
def spec(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site.bundle()
    site.plugin("acme", PLUGIN)
    for name, source in (("parts", PARTS), ("helper", HELPER)):
        (site.folder / "acme" / f"{name}.py").write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    text = SPEC.replace("guidance: [", "guidance: [pull, push, ")
    return write_tiny(tmp_path, text.replace("schedule: cosine", "schedule: acme/wave"))


def raised(spec: Path, *arguments: str) -> BaseException:
    with pytest.raises((ValueError, KeyError, ZeroDivisionError)) as caught:
        main(["sample", "a star", "--spec", spec.name, "--out", "x.png", *arguments])
    return caught.value


@pytest.mark.parametrize("error", ["value", "key"])
def test_an_exception_of_a_part_has_a_note_that_names_it(spec: Path, error: str) -> None:
    (note,) = raised(spec, "--set", f"schedule.error={error}").__notes__
    assert note == "raised by schedule acme/wave (acme 1.0) at schedule, written at tiny.yaml:1:11"


def test_of_parts_in_one_module_the_one_that_raised_is_named(spec: Path) -> None:
    (note,) = raised(spec, "--set", "guidance[1].error=value").__notes__
    assert "guidance acme/push (acme 1.0) at guidance[1]" in note


def test_an_error_that_a_plugin_means_for_a_person_names_its_part(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["sample", "a star", "--spec", spec.name, "--out", "x.png"]
    assert main([*arguments, "--set", "schedule.error=part"]) == 1
    said = capsys.readouterr().err
    assert "glidepath: error: no such wave\n    raised by schedule acme/wave (acme 1.0) at schedule" in said


def test_replay_names_the_part_too(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["sample", "a star", "--spec", spec.name, "--out", "x.png"]) == 0
    monkeypatch.setattr("acme.parts.fail", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        main(["replay", "x.png"])
    (note,) = caught.value.__notes__
    assert note.startswith("raised by schedule acme/wave (acme 1.0) at schedule, written at x.png:")


def test_our_own_errors_stay_as_they_are(
    spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_keywords: object) -> None:
        raise PartError("not this one")

    monkeypatch.setattr("glidepath.core.pipeline.Pipeline.states", refuse)
    assert main(["sample", "a star", "--spec", spec.name, "--out", "x.png"]) == 1
    assert capsys.readouterr().err.endswith("glidepath: error: not this one\n")


def test_an_exception_that_no_part_raised_has_no_note(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glidepath.core.pipeline.Pipeline.states", lambda *_, **__: 1 / 0)
    assert not getattr(raised(spec), "__notes__", ())

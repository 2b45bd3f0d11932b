"""Nineteen plugins with a fault each: it is told, and whose it is, and costs nobody who does not use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from glidepath.registry.cli import main

from .distributions import install, supplying

ROOT = Path(__file__).parents[2]


@attrs.frozen(kw_only=True)
class Fault:
    """What is wrong with a plugin, and what is to be said of it.

    stage, error, hint: of the record; pieces of what they are to hold. use: what makes a spec use its part.
    used: pieces of what `check` says of such a spec; "" where only building the part shows it.
    """

    source: str
    stage: str
    error: str
    hint: str
    use: str = "sampler={use: walk}"
    used: str = ""
    where: bool = True
    requires: tuple[str, ...] = ("glidepath-diffusion>=0.1",)
    modules: dict[str, str] = attrs.field(factory=dict)


def walk(package: str, **fields: object) -> str:
    """A sampler `walk` of a package."""
    return supplying("sampler", "walk", f"{package}.parts:Walk", **fields)


PARTS = {
    "parts": "class Walk:\n    def __init__(self, config=None):\n        raise OSError('no such table')\n"
}

BAD_DEFAULT = """\
from attrs.validators import ge

@attrs.frozen(kw_only=True)
class Config:
    pace: int = attrs.field(default=0, validator=ge(1))

"""
COMMAND = """
@hookimpl
def commands():
    return [Command(name="stroll", target="lacks_a_module.tables:main", summary="go for a walk")]
"""
LACKING = {
    "parts": "from lacks_a_module.tables import TABLE\n\n\nclass Walk: ...\n",
    "tables": "import json\n\nimport absent_module.tables\n\nTABLE = absent_module.tables\n",
}


def config_fault(package: str, config: str | None, error: str) -> Fault:
    """A plugin whose parameters stand in a module of their own, which a list does not import.

    config: the source of that module; None for none.
    """
    distribution = package.replace("_", "-")
    return Fault(
        source=walk(package, config=f"'{package}.config:Config'"),
        modules={"parts": "class Walk: ...\n", **({"config": config} if config is not None else {})},
        stage="config",
        error=error,
        hint=f"report it to the authors of {distribution} {{version}}",
        used=error,
        where=False,
    )


FAULTS = {
    "raises-at-import": Fault(
        source="raise RuntimeError('no licence')",
        stage="import",
        error="RuntimeError: no licence",
        hint="report it to the authors of raises-at-import",
        used="RuntimeError: no licence",
    ),
    "misspelt-hook": Fault(
        source=f"{walk('misspelt_hook')}\n@hookimpl\ndef preset():\n    return ()",
        stage="register hooks",
        error="no hook is named 'preset'",
        hint="did you mean 'presets'?",
        where=False,
    ),
    "hook-arguments": Fault(
        source=f"{walk('hook_arguments')}\n@hookimpl\ndef checks(kinds):\n    return ()",
        stage="register",
        error="Argument(s) {'kinds'} are declared in the hookimpl but can not be found in the hookspec",
        hint="checks(kind)",
        used="{'kinds'}",
        where=False,
    ),
    "bad-descriptor": Fault(
        source=supplying("smplr", "walk", "bad_descriptor.parts:Walk"),
        stage="hook components",
        error="no kind is named 'smplr'; did you mean 'sampler'?",
        hint="report it to the authors of bad-descriptor",
        used="no kind is named 'smplr'",
        where=False,
    ),
    "missing-target": Fault(
        source=supplying("sampler", "walk", "missing_target.absent:Walk"),
        stage="target",
        error="missing_target.absent:Walk cannot be imported: there is no module missing_target.absent",
        hint="report it to the authors of missing-target",
        used="there is no module missing_target.absent",
        where=False,
    ),
    "odd-config": Fault(
        source="@attrs.frozen(kw_only=True)\nclass Config:\n    table: set[int] = frozenset()\n"
        + walk("odd_config", config="Config"),
        stage="config",
        error="its parameter 'table' is set, which no spec can write",
        hint="report it to the authors of odd-config",
        use="sampler={use: walk, table: [1]}",
        used="'table' is set, which no spec can write",
        where=False,
    ),
    "other-versions": Fault(
        source="raise SystemExit('it was imported')",
        requires=("glidepath-diffusion>=2,<3",),
        stage="requires",
        error="it is made for glidepath >=2,<3, and this is glidepath 0.1.0",
        hint="install a version of other-versions for glidepath 0.1.0",
        used="it is made for glidepath >=2,<3",
    ),
    "missing-extra": Fault(
        source=walk(
            "missing_extra", requires="[Extra(module='absent_module', install='missing-extra[fast]')]"
        ),
        stage="requires",
        error="missing-extra/walk 8.3 needs absent_module, which is not installed",
        hint="pip install missing-extra[fast]",
        used="needs absent_module, which is not installed",
        where=False,
    ),
    "taken-name": Fault(
        source=walk("taken_name")
        + "@hookimpl\ndef commands():\n    return [Command(name='sample', target='taken_name.parts:Walk', "
        "summary='another')]",
        stage="hook commands",
        error="glidepath has a command of this name",
        hint="report it to the authors of taken-name",
        where=False,
    ),
    "old-requirement": Fault(
        source="raise SystemExit('it was imported')",
        requires=("glidepath-diffusion>=0.1", "helper>=2"),
        stage="requires",
        error="it requires helper >=2, and 1.5 is installed",
        hint='pip install "helper>=2"',
        used="it requires helper >=2, and 1.5 is installed",
    ),
    "raises-when-built": Fault(
        source=walk("raises_when_built"), modules=PARTS, stage="", error="", hint="", where=False
    ),
    "bad-default": Fault(
        source=BAD_DEFAULT + walk("bad_default", config="Config"),
        stage="config",
        error="sampler 'walk': its own default of 'pace' is 0, which is out of range",
        hint="report it to the authors of bad-default; a spec that uses it has to write pace, which takes "
        ">= 1",
        used="sampler walk of bad-default {version}: its own default of 'pace' is 0, which is out of range",
        where=False,
    ),
    "undeclared-import": Fault(
        source="import absent_module",
        stage="import",
        error="ModuleNotFoundError: No module named 'absent_module'",
        hint="pip install absent_module, if that is the name of the package that supplies it; "
        "undeclared-import {version} declares no dependency of that name, as its authors should",
        used="No module named 'absent_module'",
    ),
    "lacks-a-module": Fault(
        source=walk("lacks_a_module") + COMMAND,
        modules=LACKING,
        stage="",
        error="",
        hint="",
        where=False,
    ),
    "missing-config": config_fault("missing_config", None, "No module named 'missing_config.config'"),
    "plain-config": config_fault(
        "plain_config", "class Config: ...\n", "'plain_config.config:Config' is not an attrs class"
    ),
    "raising-config": config_fault(
        "raising_config", "raise RuntimeError('no licence')\n", "RuntimeError: no licence ("
    ),
    "ending-config": config_fault("ending_config", "raise SystemExit(3)\n", "SystemExit: 3 ("),
    "taken-parameter": config_fault(
        "taken_parameter",
        "import attrs\n\n\n@attrs.frozen\nclass Config:\n    use: int = 1\n",
        "names a parameter 'use', a key of every part; rename it",
    ),
}
OF_PARAMETERS = [name for name, fault in FAULTS.items() if ".config:Config" in fault.source]
VERSIONS = {name: f"{index}.3" for index, name in enumerate(FAULTS, 1)}


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All of them installed at once, beside glidepath itself."""
    folder = tmp_path_factory.mktemp("site")
    install(folder, "helper", "1.5", supplying("sampler", "help", "helper.parts:Walk"), modules=PARTS)
    for name, fault in FAULTS.items():
        modules = fault.modules or {"parts": "class Walk: ...\n"}
        install(folder, name, VERSIONS[name], fault.source, requires=fault.requires, modules=modules)
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        for variable in ("GLIDEPATH_PLUGINS", "GLIDEPATH_DISABLE"):
            patch.delenv(variable, raising=False)
        yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture(scope="module")
def records(folder: Path) -> dict[str, Any]:
    """What `glidepath plugins --json` says in a process of its own, by distribution."""
    done = run(folder, "plugins", "--json")
    assert done.returncode == 0, done.stderr
    return {record["distribution"]: record for record in json.loads(done.stdout)["plugins"]}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "glidepath.registry.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def _said(text: str, name: str) -> str:
    return text.replace("{version}", VERSIONS[name])


SHOWN = [name for name, fault in FAULTS.items() if fault.stage]


@pytest.mark.parametrize("name", SHOWN)
def test_the_record_of_a_faulty_plugin_names_distribution_version_stage_and_remedy(
    records: dict[str, Any], folder: Path, name: str
) -> None:
    fault, record = FAULTS[name], records[name]
    (told,) = record["missing_extras"] if name == "missing-extra" else record["problems"]
    assert (record["name"], record["version"]) == (name, VERSIONS[name])
    assert told["stage"] == fault.stage
    assert fault.error in told["error"]
    assert _said(fault.hint, name) in told["hint"]
    assert str(folder) in told["where"] or not fault.where


def test_the_table_shows_every_faulty_plugin(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    said = capsys.readouterr().out
    for name in SHOWN:
        assert f"plugin {name!r} of {name} {VERSIONS[name]}" in said
        assert FAULTS[name].error in said
        assert _said(FAULTS[name].hint, name) in said


@pytest.mark.parametrize("name", OF_PARAMETERS)
def test_a_command_that_reads_parameters_says_whose_cannot_be_read(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fault, used = FAULTS[name], ["shapes", "--set", f"sampler={{use: {name}/walk}}"]
    for words, status in (
        (["show", f"sampler/{name}/walk"], 1),
        (["show", "--markdown", f"sampler/{name}/walk"], 1),
        (["plan", *used], 2),
        (["lock", *used, "--out", str(tmp_path / "spec.lock")], 2),
    ):
        assert main(words) == status
        said = capsys.readouterr().err
        assert f"the parameters of {name}/walk cannot be read: " in said
        assert fault.error in said
        assert _said(fault.hint, name) in said
    assert not list(tmp_path.iterdir())


def test_a_schema_of_all_parts_has_those_whose_parameters_cannot_be_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["schema"]) == 0
    schema = capsys.readouterr().out
    json.loads(schema)
    for name in OF_PARAMETERS:
        assert f'"{name}/walk"' in schema


def test_a_part_that_cannot_be_built_is_no_fault_before_somebody_builds_it(records: dict[str, Any]) -> None:
    assert records["raises-when-built"]["problems"] == []
    assert records["helper"]["problems"] == []


def test_none_of_them_breaks_a_spec_that_does_not_use_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "shapes"]) == 0
    picture = tmp_path / "star.png"
    quick = ["--set", "sampler={use: ddim, steps: 1}", "--device", "cpu", "--out", str(picture)]
    assert main(["sample", "a green star", *quick]) == 0
    assert picture.is_file()


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.used])
def test_a_spec_that_uses_one_is_told_whose_fault_it_is(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = FAULTS[name]
    assert main(["check", "shapes", "--set", fault.use.replace("walk", f"{name}/walk")]) == 2
    said = capsys.readouterr().err
    assert _said(fault.used, name) in said
    assert name in said
    assert VERSIONS[name] in said
    assert _said(fault.hint, name) in said or f"report it to the authors of {name}" in said


@pytest.mark.parametrize("name", ["misspelt-hook", "taken-name", "raises-when-built", "lacks-a-module"])
def test_what_is_sound_of_a_faulty_plugin_serves(name: str) -> None:
    assert main(["check", "shapes", "--set", f"sampler={{use: {name}/walk}}"]) == 0


def test_check_and_plugins_agree_about_a_parameter_that_no_spec_can_write(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Though the spec leaves it to its default: an image's record of its spec could not be read again."""
    assert main(["check", "shapes", "--set", "sampler={use: odd-config/walk}"]) == 2
    said = capsys.readouterr().err
    release = f"odd-config {VERSIONS['odd-config']}"
    assert f"sampler walk of {release}: its parameter 'table' is set, which no spec can write" in said
    assert f"report it to the authors of {release}" in said


def test_a_spec_that_writes_what_a_bad_default_leaves_open_is_right(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", "shapes", "--set", "sampler={use: bad-default/walk, pace: 2}"]) == 0


def test_a_bad_default_is_not_blamed_on_the_spec(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "shapes", "--set", "sampler={use: bad-default/walk}"]) == 2
    said = capsys.readouterr().err
    release = f"bad-default {VERSIONS['bad-default']}"
    assert f"this spec is not at fault: report it to the authors of {release}; until it is mended, " in said
    assert "write pace yourself" in said
    assert "allowed: >= 1" in said
    assert "at sampler.pace" in said


def test_a_value_that_a_spec_writes_out_of_range_is_blamed_on_the_spec(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", "shapes", "--set", "sampler={use: bad-default/walk, pace: -3}"]) == 2
    said = capsys.readouterr().err
    assert "pace is -3, which is out of range" in said
    assert "not at fault" not in said


def test_a_module_that_an_implementation_lacks_is_told_with_the_line_that_imports_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", "a green star", "--set", "sampler={use: lacks-a-module/walk}"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    line = folder / "lacks_a_module" / "tables.py"
    release = f"lacks-a-module {VERSIONS['lacks-a-module']}"
    assert f"sampler lacks-a-module/walk ({release})" in said
    assert f"{line}:3 imports absent_module, which is not installed" in said
    assert "pip install absent_module, if that is the name of the package that supplies it" in said
    assert f"{release} declares no dependency of that name, as its authors should" in said


def test_so_is_one_that_a_command_lacks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stroll"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    line = folder / "lacks_a_module" / "tables.py"
    release = f"lacks-a-module {VERSIONS['lacks-a-module']}"
    assert f"of {release} cannot be imported from 'lacks_a_module.tables:main': {line}:3 imports" in said
    assert f"{release} declares no dependency of that name" in said


def test_a_constructor_that_raises_is_told_with_its_part_place_and_remedy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["sample", "a green star", "--set", "sampler={use: raises-when-built/walk}"]) == 1
    assert capsys.readouterr().err.endswith(
        "glidepath: error: no such table\n    "
        "while building sampler raises-when-built/walk (raises-when-built 11.3) at sampler, written at "
        "--set #1; if its parameters are right, report it to the authors of raises-when-built\n"
    )


def test_under_strict_they_are_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "shapes", "--strict"]) == 1
    said = capsys.readouterr().err
    for name in ("raises-at-import", "other-versions", "old-requirement"):
        assert f"plugin {name!r} of {name} {VERSIONS[name]}: {FAULTS[name].stage}: " in said


def test_what_is_made_for_other_versions_is_not_imported() -> None:
    assert main(["list"]) == 0
    assert "other_versions.plugin" not in sys.modules
    assert "old_requirement.plugin" not in sys.modules

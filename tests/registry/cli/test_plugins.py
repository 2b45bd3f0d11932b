"""`glidepath plugins`, and the switches that decide which plugins are loaded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.registry.cli.processes import OTHER, python


def test_a_switch_that_names_nothing_is_noted(
    acme: Any, glidepath: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLIDEPATH_DISABLE", "acmee")
    (acme.folder / "acme" / "tune.py").write_text("main = print")
    Path("my.yaml").write_text("sampler: ddim")
    for command in (["list"], ["show", "ddim"], ["check", "my.yaml"], ["plugins", "--json"], ["tune"]):
        said = glidepath(*command)[2]
        assert (
            said.count("GLIDEPATH_DISABLE names 'acmee', which is not installed; did you mean 'acme'?") == 1
        )


def test_plugins_shows_what_each_supplies_and_what_is_wrong(
    acme: Any, glidepath: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLIDEPATH_DISABLE", "off,offf")
    acme.plugin("off", OTHER)
    acme.plugin("other", OTHER)
    acme.plugin("broken", "import absent_dependency", version="3.0")
    acme.plugin("partly", OTHER.replace('"ddim"', '"DDIM"'))
    acme.add("torn", "0.1", text="nonsense\n[glidepath.plugins]\nx = y\n")
    acme.add("stranger", "0.2", text="nonsense\n")
    status, out, _ = glidepath("plugins")
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert status == 0
    assert rows[0] == "glidepath 9.9"
    assert (
        "acme acme 1.2 ok sampler ddim; text_encoder wide; tokenizer bpe, words; guidance none; preset fast; "
        "command tune, stray" in rows
    )
    assert "broken broken 3.0 failed (import) -" in rows
    assert "partly partly 1.0 problems -" in rows
    assert "off off 1.0 disabled by GLIDEPATH_DISABLE -" in rows
    assert "- torn 0.1 failed (scan) -" in rows
    place = rows.index("plugin 'broken' of broken 3.0")
    assert rows[place + 1] == "import: ModuleNotFoundError: No module named 'absent_dependency'"
    assert rows[place + 2] == f"{acme.folder / 'broken' / 'plugin.py'}:3"
    assert rows[place + 3].startswith("pip install absent_dependency")
    assert "sampler acme/ddim (acme 1.2)" in rows
    assert "sampler other/ddim (other 1.0)" in rows
    place = rows.index("parts that cannot be used here:")
    assert rows[place + 1 : place + 4] == [
        "plugin 'acme' of acme 1.2",
        "requires: acme/wide 1.2 needs absent_module, which is not installed",
        "pip install acme[text]",
    ]
    assert any("names 'offf', which is not installed" in row for row in rows)
    assert any("stranger-0.2" in row and "may hide a plugin" in row for row in rows)


def test_plugins_as_json(acme: Any, glidepath: Any) -> None:
    acme.plugin("broken", "raise RuntimeError('boom')")
    document = json.loads(glidepath("plugins", "--json")[1])
    good, broken = document["plugins"]
    assert (good["stage"], good["works"], good["presets"]) == ("ok", True, ["fast"])
    assert good["missing_extras"][0]["hint"] == "pip install acme[text]"
    assert (broken["stage"], broken["works"]) == ("import", False)
    assert broken["problems"][0]["error"] == "RuntimeError: boom"
    assert document["warnings"] == []


def test_plugins_without_any_asks_whether_glidepath_is_installed(site: Any, glidepath: Any) -> None:
    assert "is glidepath itself installed?" in glidepath("plugins")[1]


@pytest.mark.parametrize("command", [["list"], ["show", "ddim"], ["plugins"]])
@pytest.mark.parametrize("first", [True, False])
def test_strict_makes_a_plugin_that_fails_an_error(
    acme: Any, glidepath: Any, command: list[str], first: bool
) -> None:
    arguments = ["--strict", *command] if first else [*command, "--strict"]
    assert glidepath(*arguments)[0] == 0
    acme.plugin("broken", "raise RuntimeError('boom')")
    status, _, err = glidepath(*arguments)
    assert status == 1
    assert "plugin 'broken' of broken 1.0: import: RuntimeError: boom" in err
    assert "Traceback" not in err


def test_plugins_with_strict_still_prints_the_table(acme: Any, glidepath: Any) -> None:
    acme.plugin("broken", "raise RuntimeError('boom')")
    assert "failed (import)" in glidepath("plugins", "--strict")[1]


def test_no_plugins_leaves_glidepaths_own(acme: Any, glidepath: Any) -> None:
    assert glidepath("list", "--no-plugins")[1] == "no part is installed\n"
    assert glidepath("--no-plugins", "list")[1] == "no part is installed\n"
    assert "acme" not in sys.modules
    assert "disabled by --no-plugins" in glidepath("plugins", "--no-plugins")[1]
    assert "tune" not in glidepath("--no-plugins", "--help")[1]


def test_what_a_plugin_prints_stays_out_of_json(acme: Any, glidepath: Any) -> None:
    acme.plugin("noisy", f"print('hello')\n{OTHER}")
    status, out, err = glidepath("list", "--json")
    json.loads(out)
    assert status == 0
    assert "hello" in err


def test_a_variable_keeps_a_plugin_from_being_imported_by_a_command(acme: Any) -> None:
    acme.plugin("bomb", "import os\nos._exit(99)")
    command = ("-m", "glidepath.registry.cli", "list")
    assert python(acme, *command).returncode == 99
    for variables in ({"GLIDEPATH_DISABLE": "bomb"}, {"GLIDEPATH_PLUGINS": "acme"}):
        done = python(acme, *command, environ=variables)
        assert done.returncode == 0
        assert "ddim" in done.stdout
    assert python(acme, *command, "--no-plugins").returncode == 0

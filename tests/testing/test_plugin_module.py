"""Problems of an entry module, and of one with parameters, each found by the check of its rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from glidepath.testing import KitError, Suite
from glidepath.testing import plugin_module as kit

from .conftest import install

SOUND = """\
from glidepath.registry import hookimpl

@hookimpl
def components():
    return ()
"""

FAULTS = {
    "misspelt": (f"{SOUND}\n@hookimpl\ndef component():\n    return ()\n", "loads"),
    "raises": ("raise RuntimeError('boom')\n", "loads"),
    "heavy": (f"import torch\n{SOUND}", "imports-without-torch"),
    "slow": (f"import time\ntime.sleep(0.4)\n{SOUND}", "imports-fast"),
    "sound": (SOUND, ""),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_module_fails_the_check_of_the_rule_that_it_breaks(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, check = FAULTS[name]
    module = f"made_up_{name}"
    (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
    install(tmp_path, module, {name: module})
    monkeypatch.syspath_prepend(tmp_path)
    outcomes = list(Suite(module).outcomes())
    failed = {it.id: it.reason for it in outcomes if it.status == "failed"}
    assert list(failed) == ([f"plugin/{name}:{check}"] if check else [])
    if name == "slow":
        assert "fastest of 5 fresh processes" in failed["plugin/slow:imports-fast"]


WITH_PARAMETERS = """\
from glidepath.registry import Component, hookimpl

@hookimpl
def components():
    config, target = "{module}_config:Config", "glidepath.core.codec:IdentityCodec"
    return [Component(kind="codec", name="plain", target=target, config=config, summary="pixels")]
"""
PARAMETERS = "import attrs\n\n@attrs.frozen(kw_only=True)\nclass Config: ...\n"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "source", "failed"),
    [
        ("heavy", f"import torch\n{PARAMETERS}", ["plugin/heavy:imports-without-torch"]),
        ("slow", f"import time\ntime.sleep(0.4)\n{PARAMETERS}", ["plugin/slow:imports-fast"]),
        ("raises", "raise RuntimeError('boom')", ["codec/plain:descriptor"]),
        ("plain", "class Config: ...\n", ["codec/plain:descriptor"]),
        ("sound", PARAMETERS, []),
    ],
)
def test_so_does_one_whose_parameters_stand_in_a_faulty_module(
    name: str, source: str, failed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"configured_{name}"
    (tmp_path / f"{module}.py").write_text(WITH_PARAMETERS.format(module=module), encoding="utf-8")
    (tmp_path / f"{module}_config.py").write_text(source, encoding="utf-8")
    (tmp_path / "torch.py").touch()  # for the fresh processes, which then wait for none
    install(tmp_path, module, {name: module})
    monkeypatch.syspath_prepend(tmp_path)
    suite = Suite(module)
    checks = ("loads", "imports-without-torch", "imports-fast", "descriptor")
    outcomes = [suite.run(case) for case in suite.cases.values() if case.check.name in checks]
    found = {it.id: it.reason for it in outcomes if it.status == "failed"}
    assert list(found) == failed
    assert all("_config" in reason for reason in found.values())


def test_parameters_that_fail_are_told_as_such_and_not_as_the_target_that_imports_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = WITH_PARAMETERS.replace("glidepath.core.codec:IdentityCodec", "{module}_codec:Codec")
    (tmp_path / "blamed.py").write_text(plugin.format(module="blamed"), encoding="utf-8")
    (tmp_path / "blamed_config.py").write_text("class Config(:\n", encoding="utf-8")
    target = "from blamed_config import Config\nclass Codec: ...\n"
    (tmp_path / "blamed_codec.py").write_text(target, encoding="utf-8")
    install(tmp_path, "blamed", {"blamed": "blamed"})
    monkeypatch.syspath_prepend(tmp_path)
    suite = Suite("blamed")
    reason = suite.run(suite.cases["codec/plain:descriptor"]).reason
    assert reason.startswith(
        "codec 'plain': the parameters of blamed/plain cannot be read: 'blamed_config:Config'"
    )
    assert "target" not in reason


@pytest.mark.thorough
def test_an_import_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hangs.py").write_text("import time\ntime.sleep(60)\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(kit, "_PATIENCE", 1.5)
    with pytest.raises(AssertionError, match=r"not done after 1\.5 s"):
        kit._import("hangs")


def test_a_hook_of_checks_that_raises_is_told_with_its_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"{SOUND}\n@hookimpl\ndef checks(kind):\n    raise ValueError('no checks today')\n"
    (tmp_path / "moody.py").write_text(source, encoding="utf-8")
    install(tmp_path, "moody", {"moody": "moody"})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KitError, match=r"no checks today.*plugin 'moody'"):
        Suite("glidepath-diffusion")

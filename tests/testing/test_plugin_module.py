"""Faults of an entry module, each found by the check of its rule."""

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
        Suite("glidepath")

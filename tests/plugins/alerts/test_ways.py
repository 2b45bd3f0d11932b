"""Alerts through programs and packages that are not here: stand-ins take what they would."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from glidepath.core import GlidepathError
from glidepath.plugins.alerts.configs import AlertConfig, WandbAlertConfig
from glidepath.plugins.alerts.desktop import DesktopAlert
from glidepath.plugins.alerts.message import Message, Undelivered

MESSAGE = Message(
    condition="crashed", key="crashed", title="runs/x has crashed", body="--at step 5", severity="failure"
)


@pytest.mark.skipif(sys.platform != "linux", reason="notify-send is of freedesktop.org")
def test_the_desktop_is_asked_with_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "notify-send"
    kept = str(tmp_path / "said")
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open({kept!r}, 'w'))\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    alert = DesktopAlert(AlertConfig())
    alert.require()
    alert.send(MESSAGE)
    said = json.loads((tmp_path / "said").read_text())
    assert said == ["--urgency=critical", "--app-name=glidepath", "--", "runs/x has crashed", "--at step 5"]
    program.write_text("#!/bin/false\n")
    with pytest.raises(Undelivered, match="notify-send failed"):
        alert.send(MESSAGE)
    program.unlink()
    with pytest.raises(GlidepathError, match="notify-send, which is not there"):
        alert.require()


def test_wandb_is_asked_for_an_alert_in_a_run_that_is_then_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    run = SimpleNamespace(
        alert=lambda **values: told.append(("alert", values)), finish=lambda: told.append(("finish", {}))
    )

    def init(**values: Any) -> SimpleNamespace:
        told.append(("init", {key: values[key] for key in ("project", "entity", "job_type")}))
        return run

    wandb = ModuleType("wandb")
    vars(wandb).update(init=init, Settings=lambda **values: values)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.delitem(sys.modules, "glidepath.plugins.alerts.wandb_alert", raising=False)
    from glidepath.plugins.alerts.wandb_alert import WandbAlert

    WandbAlert(WandbAlertConfig(project="nightly")).send(MESSAGE)
    monkeypatch.delitem(sys.modules, "glidepath.plugins.alerts.wandb_alert")
    assert told == [
        ("init", {"project": "nightly", "entity": None, "job_type": "alert"}),
        ("alert", {"title": "runs/x has crashed", "text": "--at step 5", "level": "ERROR"}),
        ("finish", {}),
    ]

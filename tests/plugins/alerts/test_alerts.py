"""A run that is told of: at a local server, within seconds, whatever becomes of the run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.alerts.servers import Posts, smtp, webhook

from glidepath.core import Event, GlidepathError, Subject
from glidepath.plugins.alerts.alert import LOG
from glidepath.plugins.alerts.configs import AppriseConfig, WebhookConfig
from glidepath.plugins.alerts.message import Message, Undelivered
from glidepath.plugins.alerts.webhook import WebhookAlert
from glidepath.registry import listening

ALL = ("crashed", "nan", "spike", "stuck", "disk", "done", "stopped", "started", "stage-done", "warning")


def told(folder: Path, events: list[Event], timeout: float = 30.0, **config: Any) -> list[str]:
    """Tell a webhook of events; what was warned of."""
    warned: list[str] = []
    subject = Subject(kind="run", name="runs/x", folder=folder)
    alert = WebhookAlert(WebhookConfig(**config))
    with listening(subject, [alert], warned.append, timeout) as guests:
        for event in events:
            for guest in guests:
                guest.tell(event)
    return warned


@pytest.mark.parametrize(
    ("name", "condition", "severity"),
    [
        ("error", "crashed", "failure"),
        ("diverged", "nan", "failure"),
        ("spike", "spike", "warning"),
        ("disk-low", "disk", "warning"),
        ("unwritable", "disk", "warning"),
        ("done", "done", "success"),
        ("stopped", "stopped", "info"),
        ("stage-done", "stage-done", "info"),
        ("warning", "warning", "warning"),
    ],
)
def test_each_event_is_told_with_where_the_run_stands(
    posts: Posts, tmp_path: Path, name: str, condition: str, severity: str
) -> None:
    event = Event(name=name, step=5, total=9, stage="denoise", message="as it is")
    end = [] if name in ("error", "diverged", "done", "stopped") else [Event(name="stopped")]
    assert told(tmp_path, [event, *end], tell=(condition,)) == []
    ((_, message),) = posts.taken
    assert message["condition"] == condition
    assert message["severity"] == severity
    assert message["title"].startswith("runs/x ")
    assert "as it is\nstep 5 of 9, denoise, on " in message["body"]
    assert (message["step"], message["total"], message["stage"]) == (5, 9, "denoise")


def test_what_was_not_asked_for_is_not_told(posts: Posts, tmp_path: Path) -> None:
    told(tmp_path, [Event(name="started"), Event(name="stage-done"), Event(name="done")], tell=("done",))
    assert [message["condition"] for _, message in posts.taken] == ["done"]


def test_a_message_that_is_not_taken_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook(refuse=2) as server:
        monkeypatch.setenv("GLIDEPATH_WEBHOOK", server.url)
        told(tmp_path, [Event(name="done")])
        assert len(server.taken) == 1
    attempts = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [line.get("failed") for line in attempts] == ["the webhook answered with status 503"] * 2 + [None]
    assert [line["attempt"] for line in attempts] == [1, 2, 3]


def test_a_loop_does_not_wait_for_a_server_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes connections, and says nothing for the minute that an attempt may take."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("GLIDEPATH_WEBHOOK", f"http://127.0.0.1:{silent.getsockname()[1]}/hook")
        subject = Subject(kind="run", name="x", folder=tmp_path)
        alert = WebhookAlert(WebhookConfig(tell=("warning",), patience=0.0, timeout=60.0))
        begin = time.perf_counter()
        with listening(subject, [alert], lambda _: None, 0.5) as guests:
            for step in range(1000):
                guests[0].tell(Event(name="step", step=step))
                guests[0].tell(Event(name="warning", step=step, message=f"it is {step}"))
        assert time.perf_counter() - begin < 50.0  # its process has to start


def test_the_address_stands_in_no_file_no_message_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "http://user:pa55w0rd@127.0.0.1:9/t0ken"  # nobody listens there
    monkeypatch.setenv("GLIDEPATH_WEBHOOK", secret)
    warned = told(tmp_path, [Event(name="done")], patience=0.0)
    with pytest.raises(Undelivered) as raised:
        WebhookAlert(WebhookConfig()).send(Message(condition="test", key="", title="x"))
    for bad in ("ftp://x/t0ken", "pa55w0rd t0ken"):
        monkeypatch.setenv("GLIDEPATH_WEBHOOK", bad)
        with pytest.raises(GlidepathError) as refused:
            WebhookAlert(WebhookConfig()).require()
        warned.append(str(refused.value))
    kept = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    for text in [*kept, *warned, str(raised.value), repr(raised.value.__cause__)]:
        assert "pa55w0rd" not in text
        assert "t0ken" not in text


def test_an_alert_whose_address_is_not_set_refuses_before_anything_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLIDEPATH_WEBHOOK", raising=False)
    with pytest.raises(GlidepathError, match="GLIDEPATH_WEBHOOK, which is not set"):
        told(tmp_path, [])


def test_a_header_comes_from_the_environment_too(
    posts: Posts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_HEADER", "Authorization: Bearer abc")
    told(tmp_path, [Event(name="done")], header_env="HOOK_HEADER")
    assert posts.headers[0]["Authorization"] == "Bearer abc"


@pytest.mark.parametrize(("format", "key"), [("slack", "text"), ("discord", "content")])
def test_chats_get_what_their_webhooks_take(posts: Posts, tmp_path: Path, format: str, key: str) -> None:
    told(tmp_path, [Event(name="done", step=3, total=3)], format=format)
    ((_, message),) = posts.taken
    assert message.keys() == {key}
    assert message[key].startswith("runs/x is done\nstep 3 of 3, on ")


CHILD = """
import os, signal, sys, time
from pathlib import Path
from glidepath.core import Event, Subject
from glidepath.registry import listening
from glidepath.plugins.alerts.configs import WebhookConfig
from glidepath.plugins.alerts.webhook import WebhookAlert
told = ("crashed", "started", "stuck")
alert = WebhookAlert(WebhookConfig(tell=told, stuck_after=float(sys.argv[2]), patience=10.0))
with listening(Subject(kind="run", name="runs/x", folder=Path(sys.argv[1])), [alert], print) as guests:
    guests[0].tell(Event(name="started", total=9))
    guests[0].tell(Event(name="stage", step=4, total=9, stage="denoise"))
    if os.fork() == 0:
        time.sleep(300)  # a worker that outlives the run, with the pipe in its hands
        os._exit(0)
    time.sleep(300)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the child forks, which this system cannot")
def test_a_run_that_is_killed_is_told_of_within_ten_seconds(posts: Posts, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), "600"], start_new_session=True)
    try:
        posts.wait(lambda it: it["condition"] == "started", 60)
        process.send_signal(signal.SIGKILL)
        process.wait()
        message = posts.wait(lambda it: it["condition"] == "crashed", 10)
        assert "killed" in message["body"]
        assert "step 4 of 9, denoise" in message["body"]
    finally:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the child forks, which this system cannot")
def test_a_run_in_which_nothing_happens_is_told_of(posts: Posts, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), "1"], start_new_session=True)
    try:
        posts.wait(lambda it: it["condition"] == "started", 60)
        message = posts.wait(lambda it: it["condition"] == "stuck", 1 + 10)
        assert "its process lives" in message["body"]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_letter_is_sent_through_apprise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("apprise", reason="the extra [alerts] is not installed")
    from glidepath.plugins.alerts.apprised import AppriseAlert

    with smtp() as (port, letters):
        monkeypatch.setenv("APPRISE_URLS", f"mailto://127.0.0.1:{port}?from=a@example.org&to=b@example.org")
        with listening(
            Subject(kind="run", name="runs/x", folder=tmp_path), [AppriseAlert(AppriseConfig())], print, 30.0
        ) as guests:
            guests[0].tell(Event(name="diverged", step=7, total=9, message="the loss is no number"))
        assert len(letters) == 1
        assert "Subject: runs/x has diverged" in letters[0]
        assert "the loss is no number" in letters[0]
        monkeypatch.setenv("APPRISE_URLS", "nonsense-pa55w0rd")
        with pytest.raises(GlidepathError) as refused:
            AppriseAlert(AppriseConfig()).require()
        assert "pa55w0rd" not in str(refused.value)

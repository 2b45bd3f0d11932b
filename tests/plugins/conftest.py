"""A server that alerts are sent to, and an alert that sends to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.plugins.alerts.servers import Posts, alerted, webhook

from glidepath.plugins.alerts.webhook import WebhookAlert


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Posts]:
    with webhook() as server:
        monkeypatch.setenv("GLIDEPATH_WEBHOOK", server.url)
        yield server


@pytest.fixture
def alert(posts: Posts, tmp_path: Path) -> Iterator[WebhookAlert]:
    """It is of disks, and of what ends a run."""
    with alerted(posts, tmp_path) as alert:
        yield alert

"""A desk, and a client of its application."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from glidepath.plugins.page.state import Desk
from glidepath.registry import load_catalogue

from .browsing import browser, page, server  # noqa: F401 - fixtures

HERE = "http://127.0.0.1:8440"
QUICK = "extends: shapes\nsampler: {steps: 3}\nruntime: {device: cpu}\n"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("page")
    (folder / "mine.yaml").write_text(QUICK)
    return Desk(load_catalogue(), files=[folder / "mine.yaml"], out=folder / "images")


@pytest.fixture(scope="module")
def client(desk: Desk) -> Iterator[Any]:
    pytest.importorskip("starlette", reason="starlette is not installed: extra [page]")
    pytest.importorskip("httpx2", reason="httpx2, which starlette's test client needs, is not installed")
    from starlette.testclient import TestClient

    from glidepath.plugins.page.routes import application

    with TestClient(application(desk), base_url=HERE, follow_redirects=False) as client:
        yield client


@pytest.fixture
def finished(desk: Desk) -> Callable[[Any], dict[str, Any]]:
    """Waits for the job that an answer tells of; what is told of it at its end."""

    def wait(answer: Any) -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        job = desk.queue.job(answer.json()["id"])
        end = time.monotonic() + 60
        while job.state in ("waiting", "loading", "running"):
            assert time.monotonic() < end, job
            time.sleep(0.01)
        return job.document()

    return wait

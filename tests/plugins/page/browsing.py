"""A browser, and a server for it with a stranger's plugin, whose texts would be code were they not text."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from ...contracts.distributions import install  # noqa: TID252 - tests are no installed package

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SPEC = "extends: shapes\nsampler: {steps: 4}\nruntime: {device: cpu}\n"
EVIL = "<img src=x onerror=\"document.title='hacked'\">"
STRANGER = f"""
@hookimpl
def kinds():
    interface = "glidepath.core:Sampler"
    instead, generator = ("schedule", "denoiser", "sampler"), "glidepath.core:Generator"
    return [
        Kind(name="polish", interface=interface, summary={EVIL!r}, slot="polish", sampling=False),
        Kind(name="maker", interface=generator, summary="s", slot="maker", instead_of=instead),
    ]

@hookimpl
def components():
    return [
        Component(
            kind="sampler",
            name="acme-walk",
            target="glidepath.plugins.samplers.ddim:DdimSampler",
            config="acme_diffusion.config:WalkConfig",
            summary={EVIL!r},
            references=[{EVIL!r}],
        ),
        Component(kind="conditioner", name="acme-mood", target="acme_diffusion.mood:Mood", summary="a mood"),
        Component(kind="polish", name="acme-wax", target="acme_diffusion.config:Wax", summary="shines"),
        Component(kind="maker", name="acme-paint", target="acme_diffusion.config:Paint", summary="paints"),
    ]
"""
CONFIG = f"""
import attrs
from glidepath.registry import doc

@attrs.frozen(kw_only=True)
class WalkConfig:
    bounce: float = attrs.field(default=0.25, validator=attrs.validators.ge(0), metadata=doc({EVIL!r}))
    fast: bool = False
"""
MOOD = """
from glidepath.core import Conditioner, Input

class Mood(Conditioner):
    makes = frozenset()
    inputs = {"mood": Input("whose mood the image is to have", size="any", required=False)}

    def conditions(self, request, codec):
        return {}
"""
WIDTHS = {"wide": (1440, 900), "narrow": (390, 844)}
LONG = 90_000


@attrs.define
class Server:
    """A server of the page in a process of its own, at a port that it keeps when it is started again."""

    folder: Path
    port: int
    process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        words = ["page", "--no-browser", "--port", str(self.port), "--spec", "mine.yaml"]
        path = os.pathsep.join([str(self.folder / "site"), *sys.path])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "glidepath.registry.cli", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == self.address

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("starlette", reason="starlette is not installed: extra [page]")
    folder = tmp_path_factory.mktemp("browser")
    (folder / "mine.yaml").write_text(SPEC)
    install(folder / "site", "acme-diffusion", "1.0", STRANGER, modules={"config": CONFIG, "mood": MOOD})
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Server(folder, port)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: extra [test-browser]"
    )
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Any, server: Server) -> Iterator[Any]:
    """The page, opened anew. Whatever it says of an error fails the test."""
    width, height = WIDTHS[request.param]
    page = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda it: faults.append(it.url) if not _is_own(it.url, server) else None)
    page.goto(server.address)
    page.wait_for_selector("html[data-ready]", timeout=LONG)
    yield page
    assert page.title() == "glidepath"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
    assert not faults


def _is_own(url: str, server: Server) -> bool:
    return url.startswith((server.address, "data:", "blob:"))

"""The page of a rater in headless Chromium: by keys and by touch, over a kill of the server, to the end."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from tests.plugins.judge.conftest import ARMS

from glidepath.plugins.judge.commands.making import path_of
from glidepath.plugins.judge.protocol.folder import Judgement

pytest.importorskip("starlette", reason="starlette is not installed: extra [page]")
api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: extra [test-browser]")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here"),
]

SCREENS = {
    "wide": {"viewport": {"width": 1280, "height": 800}},
    "narrow": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
LONG = 60_000


@attrs.define
class Server:
    """`judge serve` in a process of its own, at a port that it keeps when it is started again."""

    port: int
    process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "glidepath.registry.cli", "judge", "serve", "j"]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(self.address):
                return
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def judgement(make: Callable[..., Judgement]) -> Judgement:
    return make("--set", "design.per_rater=4", "--set", "design.checks=1", "--set", "design.repeats=1")


@pytest.fixture
def server(judgement: Judgement) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Server(port)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=SCREENS)
def page(browser: Any, server: Server, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page that fails the test at its end where it asked another host, or a script failed."""
    context = browser.new_context(**SCREENS[request.param])
    context.set_default_timeout(LONG)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(f"a script ran: {dialog.message}"))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith((server.address, "data:")) else wrong.append(asked.url),
    )
    yield page
    assert not wrong
    context.close()


def counted(page: Any, text: str) -> None:
    page.locator("#count", has_text=re.compile(f"^{text}$")).wait_for()


def ready(page: Any) -> None:
    page.locator("#choices button:enabled").first.wait_for()


def test_a_rater_goes_from_the_link_to_the_end(page: Any, judgement: Judgement, server: Server) -> None:
    rater = judgement.raters()[0]
    assert len(rater.tasks) == 6
    page.goto(server.address + path_of(judgement, rater))
    begin = page.get_by_role("button", name="Begin")
    begin.wait_for()
    is_touched = page.evaluate("matchMedia('(hover: none)').matches")
    assert ("Keys:" in page.locator("#keys").inner_text()) != is_touched
    begin.click()
    ready(page)
    said = "Tap a picture to enlarge it." if is_touched else "Click a picture, or press z, to enlarge it."
    assert page.locator("#hint").inner_text() == said  # nothing where it is hidden
    assert "<script>alert(1)</script>" in page.locator("#prompt").inner_text()
    assert page.locator("script").count() == 1
    for arm in ARMS:
        assert arm not in page.content()
    # nothing is cut off on the right
    body = page.locator("body").bounding_box()
    for button in page.locator("#choices button").all():
        box = button.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= body["width"]
        assert box["height"] >= 44
    assert page.get_by_role("img", name="Left picture").is_visible()
    assert page.get_by_role("progressbar", name="0 of 6").is_visible()

    page.get_by_role("img", name="Right picture").click()
    enlarged = page.get_by_role("dialog").get_by_role("img", name="Right picture")
    assert enlarged.is_visible()
    page.keyboard.press("ArrowLeft")  # answers nothing while a picture is enlarged
    page.keyboard.press("Escape")
    enlarged.wait_for(state="hidden")

    page.keyboard.press("ArrowLeft")
    counted(page, "1 of 6")
    ready(page)
    page.keyboard.press("ArrowDown")
    counted(page, "2 of 6")
    ready(page)
    page.get_by_role("button", name="The right one").click()
    counted(page, "3 of 6")
    ready(page)
    said = [it.answer for it in judgement.answers()[0]]
    assert said == ["left", "tie", "right"]

    server.kill()
    page.keyboard.press("2")
    again = page.get_by_role("button", name="Try again")
    again.wait_for()
    assert "was not kept" in page.get_by_role("status").inner_text()
    server.start()
    again.click()
    counted(page, "4 of 6")
    page.reload()
    counted(page, "4 of 6")  # and no welcome a second time
    ready(page)
    page.keyboard.press("ArrowLeft")
    counted(page, "5 of 6")
    ready(page)
    page.keyboard.press("ArrowLeft")
    page.get_by_role("heading", name="Thank you").wait_for()
    answers, notes = judgement.answers()
    assert [it.task for it in answers] == list(range(6))
    assert [it.answer for it in answers][3:] == ["right", "left", "left"]
    assert not notes


def test_a_forged_link_shows_nothing(page: Any, server: Server) -> None:
    answer = page.goto(f"{server.address}/r/{'A' * 22}")
    assert answer.status == 404
    assert "ask for yours again" in page.content()


def test_ratings_are_given_by_digits(browser: Any, make: Callable[..., Judgement], folders: Path) -> None:
    judgement = make(
        "--set", "judgement.kind=ratings", "--set", "design.per_rater=2", "--set", "design.repeats=0"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        server = Server(free.getsockname()[1])
    server.start()
    try:
        page = browser.new_page()
        page.set_default_timeout(LONG)
        page.goto(server.address + path_of(judgement, judgement.raters()[0]))
        page.get_by_role("button", name="Begin").click()
        ready(page)
        assert page.locator("#choices button").count() == 5
        page.keyboard.press("4")
        counted(page, "1 of 6")
        ready(page)
        page.get_by_role("button", name="1 (worst)").click()
        counted(page, "2 of 6")
        assert [it.answer for it in judgement.answers()[0]] == [4, 1]
        page.close()
    finally:
        server.kill()

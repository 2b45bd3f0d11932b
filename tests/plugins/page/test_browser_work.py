"""What one sees of studies in a browser while they run, and in the dark; on a wide and on a narrow screen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .browsing import CHROMIUM, LONG, WIDTHS, Server

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: extra [test-browser]")
pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here"),
]
expect = api.expect

STUDY = """
base: {extends: shapes, runtime: {device: cpu}, sampler: {steps: 2}}
arms: [{axes: {sampler: [ddim, dpmpp-2m]}}]
seeds: {sample: 2}
data: {prompts: [a red circle]}
metrics: {primary: {gate: {use: python, file: gate.py}}}
engine: {use: local, slots: 1}
"""
GATE = """
import pathlib, time

name, direction, unit = "gate", "higher", ""
HERE = pathlib.Path(__file__).parent


def per_prompt(images, prompts):
    gate = "all" if (HERE / "passed").exists() else "one"
    while not (HERE / gate).exists():
        time.sleep(0.02)
    (HERE / "passed").touch()
    return [1.0 for _ in prompts]
"""
FAINT = """() => {
  const numbers = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const over = ([r, g, b, a = 1], below) => [r, g, b].map((it, at) => a * it + (1 - a) * below[at]);
  const ground = (node) => {
    const below = node.parentElement ? ground(node.parentElement) : [255, 255, 255];
    return over(numbers(getComputedStyle(node).backgroundColor), below);
  };
  const luminance = (color) => color.map((it) => it / 255)
    .map((it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4))
    .reduce((sum, it, at) => sum + it * [0.2126, 0.7152, 0.0722][at], 0);
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].filter((it) => it.nodeType === Node.TEXT_NODE).map((it) => it.data);
    const text = own.join("").trim() || (node.matches("input, textarea") ? node.value : "");
    const seen = node.checkVisibility({ visibilityProperty: true });
    if (!text || !seen || node.closest(":disabled, [aria-busy=true]")) continue;
    const under = ground(node);
    const style = getComputedStyle(node);
    const both = [under, over(numbers(style.color), under)].map(luminance).sort((a, b) => b - a);
    const ratio = (both[0] + 0.05) / (both[1] + 0.05);
    found.push([ratio, `${text.slice(0, 40)} (${node.tagName} ${node.className})`]);
  }
  return { texts: found, ground: luminance(ground(document.body)) };
}"""
"""The contrast of each text that is seen with what is under it, by WCAG 2.2: (L1 + 0.05) / (L2 + 0.05)."""


@pytest.fixture
def pages(browser: Any, server: Server) -> Iterator[dict[str, Any]]:
    """The page on a wide and on a narrow screen at once, at its studies."""
    found, faults = {}, list[str]()
    for name, (width, height) in WIDTHS.items():
        # colours are read as they are, not on their way to what they will be
        page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(server.address)
        page.wait_for_selector("html[data-ready]", timeout=LONG)
        found[name] = page
    yield found
    for name, page in found.items():
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[name][0]
        page.close()
    assert not faults


def _until(page: Any, holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG / 1000
    while not holds():
        assert time.monotonic() < end
        page.wait_for_timeout(200)


def test_texts_stand_out_from_their_ground_in_the_dark_and_by_day(pages: dict[str, Any]) -> None:
    stages = {"sample": {"done": 1, "failed": 1}, "measure": {"failed": 1, "done": 1}}
    verdicts = [{"told": f"a is {it}", "verdict": it} for it in ("better", "worse", "open")]
    study = {
        "name": "a",
        "trials": 1,
        "arms": {},
        "told": "glidepath study retry ended with status 1",
        "stages": stages,
        "report": True,
        "grids": [],
        "failures": [{"stage": "s", "key": "k", "class": "error", "attempts": 1, "message": "m", "log": ""}],
        "verdicts": {"summary": "Of 3: 1 better.", "verdicts": verdicts},
    }
    states = [
        {**study, "running": True},
        {**study, "running": False, "name": "b"},
        {"name": "c", "problem": "damaged"},
    ]
    for page in pages.values():
        page.route("**/api/studies", lambda route: route.fulfill(json={"studies": states, "again": 600}))
        expect(page.locator("#verdict")).to_contain_text("fits", timeout=LONG)
        page.click("#tab-work")
        expect(page.locator("#studies article")).to_have_count(3, timeout=LONG)
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            for tab in ("make", "compare", "history", "work"):
                page.click(f"#tab-{tab}")
                seen = page.evaluate(FAINT)
                assert (seen["ground"] < 0.05) == (scheme == "dark")
                assert len(seen["texts"]) > 8
                faint = [text for ratio, text in seen["texts"] if ratio < 4.5]
                assert not faint, (scheme, tab, faint)


def test_a_study_that_runs_is_watched_and_stopped(pages: dict[str, Any], server: Server) -> None:
    pytest.importorskip("scipy", reason="verdicts need it: extra [studies]")
    (server.folder / "live.yaml").write_text(STUDY)
    (server.folder / "gate.py").write_text(GATE)
    wide, narrow = pages["wide"], pages["narrow"]
    study = subprocess.Popen(
        [sys.executable, "-m", "glidepath.registry.cli", "study", "run", "live.yaml"],
        cwd=server.folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    )
    try:
        bar = wide.locator("#studies progress")
        for page in pages.values():
            page.click("#tab-work")
            expect(page.locator("#studies h3")).to_have_text("live", timeout=LONG)
            expect(page.locator("#studies .chip")).to_have_text("running", timeout=LONG)
        _until(wide, lambda: int(bar.get_attribute("value")) >= 2)  # what is embedded, and an image
        expect(wide.locator("#studies .verdicts")).to_have_count(0)
        before = int(bar.get_attribute("value"))
        (server.folder / "one").touch()
        _until(wide, lambda: int(bar.get_attribute("value")) > before)
        for page in pages.values():
            expect(page.locator("#studies .verdicts")).to_contain_text("gate", timeout=LONG)
            expect(page.locator("#studies .chip")).to_have_text("running")
        narrow.get_by_role("button", name="Stop").click()
        expect(narrow.locator("#studies-said")).to_contain_text(
            "stops when its running tasks are done", timeout=LONG
        )
        (server.folder / "all").touch()
        _, said = study.communicate(timeout=LONG / 1000)
        assert study.returncode == 130, said
        for page in pages.values():
            expect(page.locator("#studies .chip")).to_have_text("stopped", timeout=LONG)
            expect(page.get_by_role("button", name="Write the report")).to_be_visible()
        assert int(bar.get_attribute("value")) < int(bar.get_attribute("max"))
    finally:
        study.kill()
        study.wait()

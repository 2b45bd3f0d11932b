"""The page in a browser, headless Chromium: its main paths on a wide and on a narrow screen.

A stranger's plugin is installed, whose texts would be code where they are not taken as text.
"""

from __future__ import annotations

import base64
import io
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from .browsing import CHROMIUM, EVIL, LONG, SPEC, Server

pytest.importorskip("starlette", reason="starlette is not installed: extra [page]")
api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: extra [test-browser]")
pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here"),
]


def _expect(locator: Any) -> Any:
    return api.expect(locator)


def _text(page: Any, text: str) -> None:
    page.fill("#yaml", text)
    _expect(page.locator("#verdict")).to_contain_text("fits", timeout=LONG)


def _generate(page: Any) -> None:
    page.click("#go")
    _expect(page.locator("#said")).to_contain_text("Done", timeout=LONG)


def _png(color: str = "red", size: int = 64) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (size, size), color).save(written, "PNG")
    return written.getvalue()


def test_form_and_text_say_the_same_while_one_types(page: Any) -> None:
    assert page.input_value("#yaml") == "extends: mine.yaml\n"
    steps = page.locator("#at-sampler-steps")
    _expect(steps).to_have_value("4")
    steps.fill("7")
    steps.press("Tab")
    _expect(page.locator("#yaml")).to_have_value("extends: mine.yaml\nsampler:\n  steps: 7\n")
    page.fill("#yaml", "extends: mine.yaml\nsampler:\n  use: ddimm\n")
    problem = page.locator("#problems li")
    _expect(problem).to_contain_text("did you mean 'ddim'?")
    _expect(page.locator("#gutter .bad")).to_have_text("3")
    _expect(page.locator("#form .wrong")).to_contain_text("no sampler named 'ddimm'")
    problem.get_by_role("button").click()
    assert page.evaluate("getSelection().toString()") == "  use: ddimm"
    page.fill("#yaml", "extends: shapes\nsampler:\n  eta: 0.5\n")
    _expect(page.locator("#at-sampler-eta")).to_have_value("0.5")
    page.get_by_role("button", name="Take sampler.eta out").click()
    _expect(page.locator("#yaml")).to_have_value("extends: shapes\n")
    page.select_option("#preset", "glide-base")
    _expect(page.locator("#yaml")).to_have_value("extends: glide-base\n")


def test_parts_of_a_stranger_appear_with_their_texts_as_text(page: Any) -> None:
    page.select_option("#at-sampler", "acme-walk")
    _expect(page.locator("#yaml")).to_have_value("extends: mine.yaml\nsampler: acme-walk\n")
    _expect(page.locator("#form")).to_contain_text(EVIL)
    bounce = page.locator("#at-sampler-bounce")
    _expect(bounce).to_have_attribute("placeholder", "0.25")
    bounce.fill("-1")
    bounce.press("Tab")
    _expect(page.locator("#problems")).to_contain_text("bounce")
    page.get_by_text("What takes no part in an image").click()
    page.select_option("#at-polish", "acme-wax")
    _expect(page.locator("#yaml")).to_have_value(re.compile("polish: acme-wax"))


def test_parts_that_do_not_fit_are_greyed_with_the_reason(page: Any) -> None:
    page.locator("#at-denoiser").focus()
    option = page.locator("#at-denoiser option[value=edm2-unet]")
    _expect(option).to_be_disabled(timeout=LONG)
    _expect(option).to_contain_text("needs schedule.time")


def test_an_image_is_made_walked_through_downloaded_and_restored(page: Any, tmp_path: Path) -> None:
    page.fill("#prompts", "a red circle")
    page.fill("#seed", "11")
    _generate(page)
    _expect(page.locator("#made li")).to_have_count(1)
    page.locator("#walk-slider").fill("0")
    _expect(page.locator("#walk-at")).to_have_text("step 1 of 4")
    page.locator("input[name=what][value=x]").check()
    _expect(page.locator("#shown")).to_have_attribute("src", re.compile("/1/x$"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    file = tmp_path / "made.png"
    download.value.save_as(file)
    assert "glidepath" in Image.open(file).info

    page.fill("#prompts", "a blue star")
    page.fill("#yaml", "extends: shapes\n")
    data = base64.b64encode(file.read_bytes()).decode()
    dropped = page.evaluate_handle(
        """async (data) => {
          const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "made.png", { type: "image/png" }));
          return transfer;
        }""",
        data,
    )
    page.dispatch_event("body", "drop", {"dataTransfer": dropped})
    _expect(page.locator("#said")).to_contain_text("Restored", timeout=LONG)
    _expect(page.locator("#prompts")).to_have_value("a red circle")
    _expect(page.locator("#seed")).to_have_value("11")
    _expect(page.locator("#yaml")).to_have_value("extends: mine.yaml\n")


def test_the_page_answers_while_an_image_is_made_which_can_be_cancelled(page: Any) -> None:
    _text(page, SPEC.replace("4", "400"))
    page.fill("#prompts", "a red circle")
    page.click("#go")
    _expect(page.locator("#said")).to_contain_text("Step", timeout=LONG)
    _expect(page.locator("#shown")).to_have_attribute("src", re.compile("^data:image/"))
    page.fill("#yaml", "sampler: nope")
    _expect(page.locator("#verdict")).to_contain_text("problem")
    page.click("#stop")
    _expect(page.locator("#said")).to_have_text("Cancelled.", timeout=LONG)


def test_a_part_of_a_picture_is_painted_anew(page: Any) -> None:
    page.get_by_text("Start from a picture").click()
    page.set_input_files("#picture", {"name": "red.png", "mimeType": "image/png", "buffer": _png()})
    canvas = page.locator("#canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 3, steps=3)
    page.mouse.up()
    page.fill("#prompts", "a blue star")
    _generate(page)
    source = page.locator("#made img").get_attribute("src")
    answer = page.request.get(page.url.rstrip("/") + source)
    pixels = Image.open(io.BytesIO(answer.body())).convert("RGB")
    assert pixels.getpixel((pixels.width - 4, pixels.height - 4)) == (255, 0, 0)
    page.click("#forward")
    _expect(page.locator("#walk-at")).to_contain_text("t =", timeout=LONG)
    page.locator("#walk-slider").fill("0")
    _expect(page.locator("#walk-at")).to_have_text("the picture")


def test_variants_are_set_side_by_side_and_become_a_study(page: Any, tmp_path: Path) -> None:
    page.fill("#prompts", "a red circle")
    page.click("#tab-compare")
    page.fill("#axes", "sampler.steps: [1, 2]")
    page.get_by_role("button", name="Compare", exact=True).click()
    _expect(page.locator("#variants figcaption").last).to_contain_text("differs by", timeout=LONG)
    drawn = "nodes => nodes.map((it) => it.toDataURL())"
    before = page.locator("#variants canvas").evaluate_all(drawn)
    page.check("#difference")
    after = page.locator("#variants canvas").evaluate_all(drawn)
    # the one that others are held against stays as it is
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False]
    page.select_option("#metric", "shapes-accuracy")
    page.click("#measure")
    _expect(page.locator("#variants .scores li")).to_have_count(2, timeout=LONG)
    _expect(page.locator("#variants .scores li").first).to_contain_text("higher is better")
    with page.expect_download() as download:
        page.click("#as-study")
    download.value.save_as(tmp_path / "study.yaml")
    study = yaml.safe_load((tmp_path / "study.yaml").read_text())
    assert study["arms"] == [{"axes": {"sampler.steps": [1, 2]}}]
    page.fill("#axes", "sampler: [ddim]")
    page.get_by_role("button", name="Compare", exact=True).click()
    _expect(page.locator("#compare-said")).to_contain_text("2 to 9")


def test_prompts_that_would_be_code_are_shown_as_text(page: Any) -> None:
    page.fill("#prompts", EVIL)
    page.click("#go")
    _expect(page.locator("#said")).to_contain_text(re.compile("onerror|Done"), timeout=LONG)


def test_the_page_is_used_by_keyboard_and_every_field_has_a_name(page: Any) -> None:
    page.get_by_role("link", name="To the prompts").focus()
    page.keyboard.press("Enter")
    _expect(page.locator("#prompts")).to_be_focused()
    page.locator("#yaml").focus()
    page.keyboard.press("Tab")
    _expect(page.locator("#yaml")).to_have_value(re.compile("^  ext|  $"))  # a Tab is typed
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    _expect(page.locator("#yaml")).not_to_be_focused()
    page.fill("#yaml", "extends: mine.yaml\n")
    page.locator("#tab-make").focus()
    page.keyboard.press("ArrowRight")
    _expect(page.locator("#view-compare")).to_be_visible()
    _expect(page.locator("#view-make")).to_be_hidden()
    page.keyboard.press("ArrowLeft")
    page.locator("#prompts").fill("a red circle")
    page.keyboard.press("Control+Enter")
    _expect(page.locator("#said")).to_contain_text("Done", timeout=LONG)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, select, textarea, button, img, canvas")].filter((it) =>
          !(it.labels?.length || it.getAttribute("aria-label") || it.textContent.trim() || it.title
            || it.hasAttribute("alt"))).map((it) => it.outerHTML)"""
    )
    assert nameless == []


def test_what_was_made_is_there_after_the_server_was_killed(page: Any, server: Server) -> None:
    page.fill("#prompts", "a green ring")
    _generate(page)
    _text(page, SPEC.replace("4", "400"))
    page.click("#go")
    _expect(page.locator("#said")).to_contain_text("Step", timeout=LONG)
    server.kill()
    _expect(page.locator("#link")).to_contain_text("does not answer", timeout=LONG)
    server.start()
    _expect(page.locator("#said")).to_contain_text("stopped meanwhile", timeout=LONG)
    page.click("#tab-history")
    _expect(page.locator("#history h3").first).to_contain_text("Today, ")
    _expect(page.locator("#history li").first).to_contain_text("a green ring")
    _expect(page.locator("#history li").first).to_contain_text(re.compile(r"32\s×\s32"))
    page.fill("#find", "nothing has these words")
    _expect(page.locator("#history-said")).to_contain_text("No image has all", timeout=LONG)
    page.fill("#find", "green ddim")
    _expect(page.locator("#history li").first).to_contain_text("a green ring", timeout=LONG)
    page.get_by_role("button", name="Replay").first.click()
    _expect(page.locator("#said")).to_contain_text("pixel for pixel", timeout=LONG)


def test_studies_and_runs_are_told(page: Any, server: Server) -> None:
    run = server.folder / "runs" / "one"
    run.mkdir(parents=True, exist_ok=True)
    (run / "log.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')
    page.click("#tab-work")
    _expect(page.locator("#studies-said")).to_contain_text("No study has run yet", timeout=LONG)
    _expect(page.locator("#runs svg").first).to_be_visible(timeout=LONG)
    _expect(page.locator("#runs")).to_contain_text("last 1")


def test_what_can_be_done_with_a_study_depends_on_how_it_stands(page: Any) -> None:
    """The studies are told by hand here, and the presses are noted: `test_pressed.py` has a real one."""
    study = {"name": "a", "study": "a", "running": True, "trials": 1, "failures": [], "arms": {}, "told": ""}
    stages = {"sample": {"done": 1}, "measure": {"failed": 1}}
    told = {"studies": [{**study, "stages": stages, "report": False}], "again": 60}
    pressed: list[Any] = []

    def press(route: Any) -> None:
        pressed.append((route.request.url.rpartition("/")[2], route.request.post_data_json))
        route.fulfill(json={"said": f"press {len(pressed)}"})

    page.route("**/api/studies", lambda route: route.fulfill(json=told))
    page.route("**/api/studies/*", press)
    buttons = page.locator("#studies .buttons button")
    page.click("#tab-work")
    _expect(buttons).to_have_text(["Stop"], timeout=LONG)
    buttons.click()
    _expect(page.locator("#studies-said")).to_have_text("press 1")
    told["studies"][0]["running"] = False
    page.click("#tab-work")
    _expect(buttons).to_have_text(["Try again what failed"], timeout=LONG)  # nothing is measured yet
    buttons.click()
    _expect(page.locator("#studies-said")).to_have_text("press 2")
    stages["measure"] = {"done": 1}
    better = {"told": "b is <b>better</b> than a", "verdict": "better"}
    sentences = [better, {"told": "c", "verdict": "worse"}]
    told["studies"][0]["verdicts"] = {"summary": "Of 2: 1 better, 1 worse.", "verdicts": sentences}
    page.click("#tab-work")
    _expect(buttons).to_have_text(["Write the report"], timeout=LONG)
    _expect(page.locator("#studies .verdicts li.better")).to_have_text("b is <b>better</b> than a")
    buttons.click()
    _expect(page.locator("#studies-said")).to_have_text("press 3")
    assert pressed == [
        ("stop", {"name": "a"}),
        ("begin", {"name": "a", "what": "retry"}),
        ("begin", {"name": "a", "what": "report"}),
    ]


def test_slots_that_another_part_takes_the_place_of_are_hidden(page: Any) -> None:
    _expect(page.locator("#at-sampler")).to_be_visible()
    page.fill("#yaml", "maker: acme-paint\n")
    _expect(page.locator("#at-sampler")).to_have_count(0)
    _expect(page.locator("#at-denoiser")).to_have_count(0)
    _expect(page.locator("#steps")).to_be_hidden()
    page.fill("#yaml", "extends: mine.yaml\n")
    _expect(page.locator("#steps")).to_be_visible()


def test_another_name_of_the_server_is_refused(server: Server) -> None:
    asked = urllib.request.Request(server.address, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="421"):
        urllib.request.urlopen(asked, timeout=30)

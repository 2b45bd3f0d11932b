"""Images are made in a queue: progress, previews, cancelling, records, and the way back from a record."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from glidepath.plugins.page.jobs import MOST_WAITING, Job, Queue, TooMany
from glidepath.plugins.page.specs import Specs
from glidepath.plugins.page.state import Desk
from glidepath.registry import image_in

from .conftest import QUICK

OF_CLASSES = """
schedule: cosine
denoiser:
  {use: adm-unet, image_size: 32, channels: 32, channel_mult: [1], res_blocks: 1, attention_resolutions: [],
    head_channels: 32, num_classes: 7}
sampler: {use: ddim, steps: 2}
"""

Finished = Callable[[Any], dict[str, Any]]


def _png(color: str = "red", size: int = 32) -> str:
    written = io.BytesIO()
    Image.new("RGB", (size, size), color).save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


def test_what_a_page_begins_with_can_be_made(client: Any, desk: Desk, finished: Finished) -> None:
    shown = re.search(r'<textarea id="prompts"[^>]*>([^<]+)<', client.get("/").text)
    assert shown is not None
    text = f"{Specs(desk.catalogue).first()}sampler: {{steps: 2}}\n"
    assert finished(client.post("/api/make", json={"text": text, "prompts": [shown[1]]}))["state"] == "done"


def test_an_image_is_made_with_previews_and_carries_its_record(
    client: Any, desk: Desk, finished: Finished
) -> None:
    told: list[tuple[str, Any]] = []
    desk.queue.listen(lambda name, news: told.append((name, news)))
    asked = {"text": QUICK, "prompts": ["a red circle", "a blue star"], "count": 2, "seed": 7}
    job = finished(client.post("/api/make", json=asked))
    assert job["state"] == "done", job
    steps = [news for name, news in told if name == "step"]
    assert [(it["index"], it["total"]) for it in steps] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert steps[-1]["preview"].startswith("data:image/")
    files = job["result"]["files"]
    assert len(files) == 4
    answer = client.get(f"/images/{files[3]}?download")
    assert "attachment" in answer.headers["content-disposition"]
    _, manifest, _ = image_in(answer.content, "x")
    key = manifest.images.keys[0]
    assert (key.prompt, key.seed, key.sample) == ("a blue star", 7, 1)
    frame = client.get(f"/api/jobs/{job['id']}/3/x_0")
    assert Image.open(io.BytesIO(frame.content)).size[0] > 32

    restored = client.post("/api/restore", json={"png": base64.b64encode(answer.content).decode()}).json()
    assert restored["text"] == "extends: mine.yaml\n"  # the base that is nearest
    assert (restored["prompts"], restored["seed"], restored["first"]) == (["a blue star"], 7, 1)
    again = finished(client.post("/api/make", json=restored))
    one, other = (
        np.asarray(Image.open(io.BytesIO(client.get(f"/images/{name}").content)), dtype=int)
        for name in (files[3], again["result"]["files"][0])
    )
    assert abs(one - other).max() <= 2  # another batch rounds otherwise

    replayed = finished(client.post("/api/replay", json={"file": files[3]}))
    assert replayed["result"]["difference"] == ""
    listed = client.get("/api/images").json()["images"]
    assert {it["file"] for it in listed} >= {*files, *again["result"]["files"]}
    found = {it["file"]: it for it in listed}[files[3]]
    assert (found["width"], found["height"], found["steps"], found["guidance"]) == (
        32,
        32,
        3,
        "classifier-free 3.0",
    )
    today = time.strftime("%Y-%m-%d", time.localtime(found["made"]))
    for words, there in ((f"BLUE ddim seed 7 {today}", True), ("blue dpmpp", False), ("1999-12-31", False)):
        answer = client.get("/api/images", params={"find": words}).json()["images"]
        assert (files[3] in [it["file"] for it in answer]) == there


def test_words_that_are_not_known_are_refused_before_they_wait(client: Any, desk: Desk) -> None:
    before = desk.queue.documents()
    for asked in (
        {"prompts": ["a red circle", "a red cirle"]},
        {"prompts": ["a red circle"], "negative": "a red cirle"},
    ):
        answer = client.post("/api/make", json={"text": QUICK, **asked})
        assert answer.status_code == 400
        assert "'cirle' (did you mean 'circle'?)" in answer.json()["problem"]
    # shapes was never taught this word, and the other model was
    asked = {"text": QUICK, "prompts": ["a red apple"], "axes": "extends: [emoji, shapes]"}
    answer = client.post("/api/compare", json=asked)
    assert "'apple'" in answer.json()["problem"]
    asked = {"text": f"{QUICK}text_encoder: {{tokenizer: clip-bpe}}\n", "prompts": ["a red circle"]}
    assert "can read no prompt yet" in client.post("/api/make", json=asked).json()["problem"]
    assert desk.queue.documents() == before


def test_what_a_model_does_not_follow_is_told_with_the_image(client: Any, finished: Finished) -> None:
    long = "a red circle above a blue square " * 20
    asked = {"text": QUICK, "prompts": ["a red circle", long], "size": [64, 64]}
    result = finished(client.post("/api/make", json=asked))["result"]
    assert result["prompts"] == ["a red circle", long]
    unread, size = result["remarks"]
    assert "is too long; not read" in unread
    assert "made for images of 32x32 pixels" in size


def test_a_picture_is_changed_under_a_mask_and_restored_with_it(client: Any, finished: Finished) -> None:
    hole = Image.new("L", (32, 32), 0)
    hole.paste(255, (0, 0, 16, 32))
    written = io.BytesIO()
    hole.save(written, "PNG")
    pictures = {
        "image": _png(),
        "mask": "data:image/png;base64," + base64.b64encode(written.getvalue()).decode(),
    }
    asked = {"text": QUICK, "prompts": ["a star"], "pictures": pictures, "strength": 0.7}
    job = finished(client.post("/api/make", json=asked))
    assert job["state"] == "done", job
    pixels = np.asarray(Image.open(io.BytesIO(client.get(f"/images/{job['result']['files'][0]}").content)))
    assert (pixels[:, 136:] == (255, 0, 0)).all()  # what the mask keeps, eight times as large
    restored = client.post("/api/restore", json={"file": job["result"]["files"][0]}).json()
    assert restored["strength"] == 0.7
    assert set(restored["pictures"]) == {"image", "mask"}


def test_the_forward_chain_of_a_picture_ends_in_noise(client: Any, finished: Finished) -> None:
    job = finished(client.post("/api/noise", json={"text": QUICK, "pictures": {"image": _png()}}))
    assert job["state"] == "done", job
    assert job["frames"] == list(range(10))
    first, last = (
        np.asarray(Image.open(io.BytesIO(client.get(f"/api/jobs/{job['id']}/{index}/x").content)))
        for index in (0, 9)
    )
    assert first.std((0, 1)).max() < 1
    assert last.std((0, 1)).min() > 20


def test_what_cannot_be_made_is_told(client: Any, finished: Finished) -> None:
    answer = client.post("/api/make", json={"text": "extends: shapes\nsampler: nope"})
    assert answer.status_code == 400
    assert "no sampler named 'nope'" in answer.json()["problem"]
    job = finished(
        client.post("/api/make", json={"text": QUICK, "prompts": ["a red circle"], "size": [33, 33]})
    )
    assert (job["state"], "33" in job["message"]) == ("failed", True)


@pytest.mark.thorough
def test_what_an_image_costs_is_told(client: Any) -> None:
    cost = client.post("/api/plan", json={"text": QUICK}).json()
    assert cost["parameters"] > 5_000_000
    assert cost["steps"] == 3
    assert cost["flops"] > 10**9
    assert (cost["takes"], cost["texts"], cost["classes"]) == ({}, [], None)
    upsampler = client.post("/api/plan", json={"text": "extends: shapes-upsample"}).json()
    assert list(upsampler["takes"]) == ["low_res"]
    cascade = client.post("/api/plan", json={"text": "extends: shapes-64"}).json()
    assert cascade["takes"] == {}  # its second stage enlarges what the first made
    of_classes = client.post("/api/plan", json={"text": OF_CLASSES}).json()
    assert of_classes["classes"] == 7


def _blocked(queue: Queue) -> tuple[threading.Event, Job]:
    going, begun = threading.Event(), threading.Event()

    def do(job: Job) -> dict[str, Any]:
        for index in range(1, 1000):
            begun.set()
            going.wait(0.01)
            job.step(index, 1000)
        return {}

    job = Job("make", "long", do)
    queue.add(job)
    assert begun.wait(10)
    return going, job


def test_jobs_are_cancelled_whether_they_wait_or_run() -> None:
    queue = Queue()
    queue.start()
    _, running = _blocked(queue)
    waiting = Job("make", "next", lambda _job: {})
    queue.add(waiting)
    queue.cancel(waiting.id)
    assert waiting.state == "cancelled"
    queue.cancel(running.id)
    last = Job("make", "last", lambda _job: {})
    done = threading.Event()
    queue.listen(lambda _name, news: done.set() if news.get("state") == "done" else None)
    queue.add(last)
    assert done.wait(10)
    assert (running.state, last.state) == ("cancelled", "done")
    queue.close()


def test_a_queue_is_bounded() -> None:
    queue = Queue()
    for _ in range(MOST_WAITING):
        queue.add(Job("make", "x", lambda _job: {}))
    with pytest.raises(TooMany, match="32 jobs are waiting"):
        queue.add(Job("make", "x", lambda _job: {}))


def test_a_part_that_fails_ends_its_job_and_no_other() -> None:
    queue = Queue()
    done = threading.Event()
    queue.listen(lambda _name, news: done.set() if news.get("state") == "done" else None)

    def fails(_job: Job) -> dict[str, Any]:
        raise RuntimeError("<script>")

    bad, good = Job("make", "x", fails), Job("make", "y", lambda _job: {})
    queue.add(bad, good)
    queue.start()
    assert done.wait(10)
    assert (bad.state, bad.message, good.state) == ("failed", "<script>", "done")
    queue.close()


def test_who_watches_is_told_all_jobs_first(client: Any, desk: Desk) -> None:
    """Of the stream its first event is read: the test client waits for the end of an answer."""
    import asyncio

    from glidepath.plugins.page.news import News

    desk.queue.add(Job("make", "<b>", lambda _job: {}))

    async def first() -> bytes:
        stream = News(desk.queue).watch()
        line = await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        return line

    line = asyncio.run(first()).decode()
    assert line.startswith("event: jobs\ndata: ")
    assert json.loads(line.partition("data: ")[2])["jobs"][-1]["title"] == "<b>"

"""Clients that mean harm: paths, other sites, sizes, floods, texts that would be code. Nothing runs."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from glidepath.core import GlidepathError
from glidepath.plugins.page.asked import read_asked
from glidepath.plugins.page.jobs import Job
from glidepath.plugins.page.routes import STATIC
from glidepath.plugins.page.state import Desk

from .conftest import QUICK


@pytest.mark.parametrize(
    "name",
    [
        "..%2fmine.yaml",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/mine.yaml",
        "/etc/passwd",
        "..%5cmine.yaml",
        "mine.yaml",
        "secret.png",
        "%00.png",
        "a.png/../../mine.yaml",
        ".hidden.png",
    ],
)
@pytest.mark.parametrize("below", ["images", "static", "api/jobs"])
def test_no_path_of_a_browser_is_a_path_of_the_server(client: Any, desk: Desk, below: str, name: str) -> None:
    desk.history.folder.mkdir(exist_ok=True)
    if not (link := desk.history.folder / "secret.png").is_symlink():
        link.symlink_to(desk.history.folder.parent / "mine.yaml")
    (desk.history.folder / ".hidden.png").write_bytes(b"\x89PNG")
    answer = client.get(f"http://127.0.0.1:8440/{below}/{name}")
    assert answer.status_code in (400, 404, 405)
    assert "extends: shapes" not in answer.text
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    "name", ["../mine.yaml", "/etc/passwd", "..", "", "x" * 500 + ".png", "a/b.png", None, 3]
)
@pytest.mark.parametrize("route", ["restore", "replay"])
def test_a_file_is_named_by_its_name_alone(client: Any, route: str, name: Any) -> None:
    answer = client.post(f"/api/{route}", json={"file": name})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"host": "evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
    ],
)
def test_a_page_of_another_site_makes_nothing(client: Any, desk: Desk, headers: dict[str, str]) -> None:
    before = len(desk.queue.documents())
    headers = {"content-type": "application/json", **headers}
    answer = client.post("/api/make", content=b'{"text": "extends: shapes"}', headers=headers)
    assert answer.status_code in (400, 403, 421)
    assert len(desk.queue.documents()) == before


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"null", b"\xff\xfe", b'{"text": 3}', b"[" * 100_000, b'{"text": "x", "text": NaN}'],
)
@pytest.mark.parametrize("route", ["check", "edit", "fits", "plan", "make", "noise", "restore", "replay"])
def test_what_is_no_request_is_refused_in_words(client: Any, route: str, body: bytes) -> None:
    answer = client.post(f"/api/{route}", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["problem"]


def test_what_is_nested_too_deep_is_refused_in_words(client: Any) -> None:
    deep = "[" * 700 + "]" * 700
    for data in ({"value": json.loads(deep)}, {"yaml": deep}):
        answer = client.post("/api/edit", json={"text": QUICK, "path": "sampler.steps", **data})
        assert answer.status_code == 400
        assert answer.json()["problem"]
    assert client.post("/api/check", json={"text": f"a: {deep}"}).json()["problems"]


@pytest.mark.parametrize(
    "value",
    [
        {"prompts": ["x"] * 17},
        {"prompts": ["x" * 4_001]},
        {"prompts": "text"},
        {"prompts": [3]},
        {"prompts": ["\ud800"]},
        {"prompts": ["x"] * 16, "count": 16},
        {"count": 10**9},
        {"count": True},
        {"seed": -1},
        {"seed": 2**60},
        {"seed": 1.5},
        {"size": [10**6, 10**6]},
        {"size": [64]},
        {"strength": 0},
        {"strength": "1"},
        {"labels": [2**40]},
        {"pictures": {"../x": "AA=="}},
        {"pictures": {"image": "no base64!"}},
        {"pictures": {f"p{index}": "AA==" for index in range(9)}},
        {"texts": []},
        {"text": "x" * 100_001},
    ],
)
def test_every_value_has_its_bounds(value: dict[str, Any]) -> None:
    with pytest.raises(GlidepathError):
        read_asked({"text": QUICK, **value})


def test_a_flood_of_requests_fills_the_queue_and_no_more(
    client: Any, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glidepath.plugins.page.jobs.MOST_WAITING", 2)
    going, begun = threading.Event(), threading.Event()

    def do(_job: Job) -> dict[str, Any]:
        begun.set()
        going.wait(60)
        return {}

    desk.queue.add(Job("make", "one that takes long", do))
    assert begun.wait(60)
    asked = {"text": QUICK, "prompts": ["a red circle"]}
    answers = [client.post("/api/make", json=asked) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 2 + [429] * 2
    for answer in answers[:2]:
        assert client.delete(f"/api/jobs/{answer.json()['id']}").json()["state"] == "cancelled"
    going.set()


def test_a_picture_that_is_a_bomb_or_no_picture_ends_its_job_in_words(client: Any, finished: Any) -> None:
    huge = io.BytesIO()
    Image.new("1", (9_000, 9_000)).save(huge, "PNG")
    for data in (huge.getvalue(), b"<svg onload=alert(1)>", b"\x89PNG\r\n\x1a\n"):
        asked = {"text": QUICK, "pictures": {"image": base64.b64encode(data).decode()}, "strength": 0.5}
        job = finished(client.post("/api/make", json=asked))
        assert job["state"] == "failed"
        assert "cannot read image as an image" in job["message"]


def test_a_record_of_a_stranger_names_no_file_of_the_server(client: Any, desk: Desk, finished: Any) -> None:
    job = finished(client.post("/api/make", json={"text": QUICK, "prompts": ["a red circle"]}))
    data = client.get(f"/images/{job['result']['files'][0]}").content
    picture = Image.open(io.BytesIO(data))
    forged = str(picture.info["glidepath"]).replace(
        "package:glidepath.plugins.shapes/shapes.safetensors", "/etc/passwd.safetensors"
    )
    assert "/etc/passwd" in forged
    info = PngImagePlugin.PngInfo()
    info.add_itxt("glidepath", forged)
    written = io.BytesIO()
    picture.save(written, "PNG", pnginfo=info)
    restored = client.post("/api/restore", json={"png": base64.b64encode(written.getvalue()).decode()}).json()
    answer = client.post("/api/make", json=restored)
    assert answer.status_code == 400
    assert "may name no file" in answer.json()["problem"]


def test_texts_of_strangers_are_data_in_every_answer(client: Any, desk: Desk, finished: Any) -> None:
    bad = "<img src=x onerror=alert(1)>\u2028</script>"
    text = f"{QUICK}text_encoder: {{tokenizer: {{unknown: ignore}}}}\n"
    job = finished(client.post("/api/make", json={"text": text, "prompts": [bad]}))
    (file,) = job["result"]["files"]
    images = client.get("/api/images")
    assert {it["file"]: it["prompts"] for it in images.json()["images"]}[file] == [bad]
    for answer in (
        images,
        client.post("/api/check", json={"text": f"sampler: '{bad}'"}),
        client.post("/api/fits", json={"text": "", "path": "sampler", "kind": bad}),
    ):
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_writes_text_as_text_and_runs_no_text_as_code() -> None:
    """innerHTML and its kin are not used; no script or style stands in the page; no other host is named."""
    scripts = sorted(STATIC.glob("*.js"))
    assert scripts
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|srcdoc"
        r"|createContextualFragment|setTimeout\(\s*['\"`]"
    )
    for file in scripts:
        assert not forbidden.findall(file.read_text(encoding="utf-8")), file.name
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:", page)
    for file in STATIC.iterdir():
        found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", file.read_text(encoding="utf-8"))
        assert not [it for it in found if it != "http://www.w3.org"], file.name


def test_files_of_the_page_are_served_by_their_names(client: Any) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for name in re.findall(r"/static/([\w.-]+)", page.text):
        assert client.get(f"/static/{name}").status_code == 200
    assert Path(STATIC, "index.html").is_file()

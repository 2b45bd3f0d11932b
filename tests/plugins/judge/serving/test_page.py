"""What raters are served: their tasks, no sign of the arms, and nothing to whoever has no link."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("starlette", reason="starlette is not installed: extra [page]")
from starlette.testclient import TestClient
from tests.plugins.judge.conftest import ARMS, reopened

from glidepath.plugins.judge.commands.making import path_of
from glidepath.plugins.judge.protocol.folder import Judgement
from glidepath.plugins.judge.serving.app import MOST_BYTES, application
from glidepath.registry.cli import main

HERE = "http://127.0.0.1:8765"


def client_of(judgement: Judgement, **rules: Any) -> TestClient:
    return TestClient(application(judgement, **rules), base_url=HERE, follow_redirects=False)


def links_of(judgement: Judgement) -> list[str]:
    return [path_of(judgement, rater) for rater in judgement.raters()]


@pytest.fixture
def judgement(make: Callable[..., Judgement]) -> Judgement:
    return make("--set", "design.per_rater=6", "--set", "design.checks=2", "--set", "design.repeats=2")


@pytest.fixture
def client(judgement: Judgement) -> TestClient:
    return client_of(judgement)


def answered(client: TestClient, link: str, task: int, answer: object) -> Any:
    return client.post(f"{link}/answer", json={"task": task, "answer": answer})


def test_a_rater_is_led_through_all_tasks_and_each_answer_is_on_the_disk(
    judgement: Judgement, client: TestClient
) -> None:
    link, rater = links_of(judgement)[0], judgement.raters()[0]
    state = client.get(f"{link}/task").json()
    for number in range(len(rater.tasks)):
        assert (state["task"], state["done"], state["of"]) == (number, number, len(rater.tasks))
        state = answered(client, link, number, "left").json()
        answers, notes = judgement.answers()
        assert (answers[-1].rater, answers[-1].task, answers[-1].answer) == (rater.name, number, "left")
        assert answers[-1].seconds is not None
        assert not notes
    assert state["task"] is None
    assert state["pictures"] == []


def test_after_a_restart_each_rater_goes_on_where_they_stopped(judgement: Judgement) -> None:
    first, second = links_of(judgement)[:2]
    client = client_of(judgement)
    for number in range(3):
        answered(client, first, number, "tie")
    again = client_of(reopened(judgement.folder))
    assert again.get(f"{first}/task").json()["task"] == 3
    assert again.get(f"{second}/task").json()["task"] == 0


def test_nothing_that_is_sent_tells_an_arm_a_file_or_what_made_a_picture(
    judgement: Judgement, client: TestClient
) -> None:
    link, rater = links_of(judgement)[0], judgement.raters()[0]
    told, names = [client.get(link).text], set()
    for number in range(len(rater.tasks)):
        state = client.get(f"{link}/task")
        told.append(state.text)
        for name in state.json()["pictures"]:
            answer = client.get(f"{link}/p/{name}")
            picture = Image.open(io.BytesIO(answer.content))
            picture.load()
            assert picture.info == {}
            assert re.findall(rb"IHDR|tEXt|iTXt|zTXt|eXIf|tIME", answer.content) == [b"IHDR"]
            told.append(str(answer.headers))
            names.add(name)
        answered(client, link, number, "right")
    shown = sum(len(task.shown) for task in rater.tasks)
    assert len(names) == shown  # a picture that is shown again has another address
    for word in (*ARMS, "made by", "pictures/", "check", "repeat", *(it.id for it in judgement.items)):
        assert not any(word in text for text in told), word


def test_of_a_question_of_realness_the_prompt_is_not_shown(make: Callable[..., Judgement]) -> None:
    judgement = make("--question", "real")
    state = client_of(judgement).get(f"{links_of(judgement)[0]}/task").json()
    assert state["prompt"] == ""
    assert "real" in state["question"]


@pytest.mark.parametrize("link", ["/r/forged", "/r/", "/r/%2e%2e%2fplan.json", "/r/r001", "/r/" + "A" * 22])
def test_a_forged_link_is_refused_everywhere(client: TestClient, judgement: Judgement, link: str) -> None:
    real = client.get(f"{links_of(judgement)[0]}/task").json()["pictures"][0]
    for path in (link, f"{link}/task", f"{link}/p/{real}"):
        assert client.get(path).status_code in (404, 405)
    assert answered(client, link, 0, "left").status_code in (404, 405)
    assert judgement.answers() == ([], [])


def test_a_mistyped_link_is_told_in_a_page(client: TestClient) -> None:
    answer = client.get("/r/mistyped")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "<p>this link is of nobody: ask for yours again</p>" in answer.text


@pytest.mark.parametrize(
    ("words", "host"), [((), "127.0.0.1"), (("--name", "lab.example", "--name", "b"), "lab.example")]
)
def test_whole_links_are_printed(
    judgement: Judgement, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], host: str
) -> None:
    uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed: extra [page]")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn.Server, "run", lambda *_arguments, **_more: None)
        assert main(["judge", "serve", str(judgement.folder), "--port", "0", *words]) == 0
    said = capsys.readouterr().out
    (port,) = re.findall(rf"^http://{host}:(\d+)/$", said, re.MULTILINE)
    for rater, link in zip(judgement.raters(), links_of(judgement), strict=True):
        assert f"  {rater.name}  http://{host}:{port}{link}\n" in said


def test_a_changed_letter_makes_a_link_a_forged_one(client: TestClient, judgement: Judgement) -> None:
    link = links_of(judgement)[0]
    for at in range(len("/r/"), len(link)):
        other = "A" if link[at] != "A" else "B"
        assert client.get(f"{link[:at]}{other}{link[at + 1 :]}/task").status_code == 404


def test_a_picture_of_another_rater_or_of_a_later_task_is_not_shown(
    client: TestClient, judgement: Judgement
) -> None:
    first, second = links_of(judgement)[:2]
    mine = client.get(f"{first}/task").json()
    assert client.get(f"{second}/p/{mine['pictures'][0]}").status_code == 404
    assert client.get(f"{first}/p/{mine['next'][0]}").status_code == 200
    later = judgement.sign("picture", judgement.raters()[0].name, 3, 0)
    assert client.get(f"{first}/p/{later}").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/p/../../plan.json", "/p/..%2f..%2fplan.json", "/p/pictures/00000.png", "/p/00000.png", "/p/.secret"],
)
def test_no_path_from_a_browser_is_one_of_the_folder(
    client: TestClient, judgement: Judgement, path: str
) -> None:
    answer = client.get(f"{links_of(judgement)[0]}{path}")
    assert answer.status_code == 404
    assert "glidepath-judgement" not in answer.text
    for name in ("/plan.json", "/judgement.yaml", "/answers.jsonl", "/.secret", "/pictures/00000.png"):
        assert client.get(name).status_code == 404


def test_of_a_double_submit_the_first_answer_stays(client: TestClient, judgement: Judgement) -> None:
    link = links_of(judgement)[0]
    assert answered(client, link, 0, "left").status_code == 200
    again = answered(client, link, 0, "right")
    assert again.status_code == 409
    assert again.json()["state"]["task"] == 1
    answers, _ = judgement.answers()
    assert [it.answer for it in answers] == ["left"]


def test_many_raters_and_many_clicks_at_once_lose_and_double_nothing(judgement: Judgement) -> None:
    client, links = client_of(judgement), links_of(judgement)
    calls = [(link, 0) for link in links for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda it: answered(client, *it, "left").status_code, calls))
    assert statuses.count(200) == len(links)
    assert statuses.count(409) == len(calls) - len(links)
    answers, notes = judgement.answers()
    assert sorted(it.rater for it in answers) == [rater.name for rater in judgement.raters()]
    assert not notes


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"task": 0}',
        b'{"task": "0", "answer": "left"}',
        b'{"task": true, "answer": "left"}',
        b'{"task": 0, "answer": "brave"}',
        b'{"task": 0, "answer": 1}',
        b'{"task": 0, "answer": ["left"]}',
        b'{"task": -1, "answer": "left"}',
        b'{"task": 99999999999999999999, "answer": "left"}',
        b'{"task": 1, "answer": "left"}',
        b"[" * 900,
        b"\xff\xfe",
    ],
)
def test_what_is_no_answer_is_refused_and_leaves_nothing(
    client: TestClient, judgement: Judgement, body: bytes
) -> None:
    answer = client.post(f"{links_of(judgement)[0]}/answer", content=body)
    assert answer.status_code in (400, 409)
    assert answer.json()["problem"]
    assert judgement.answers() == ([], [])


def test_a_body_is_bounded(client: TestClient, judgement: Judgement) -> None:
    link = links_of(judgement)[0]
    assert client.post(f"{link}/answer", content=b" " * (MOST_BYTES + 1)).status_code == 413
    padded = json.dumps({"task": 0, "answer": "left"}).encode().ljust(MOST_BYTES)
    assert client.post(f"{link}/answer", content=padded).status_code == 200


def test_a_flood_of_answers_adds_no_more_than_there_are_tasks(
    client: TestClient, judgement: Judgement
) -> None:
    link, rater = links_of(judgement)[0], judgement.raters()[0]
    for _ in range(3):
        for number in range(len(rater.tasks) + 3):
            answered(client, link, number, "left")
    assert len(judgement.answers()[0]) == len(rater.tasks)


def test_pages_of_other_sites_and_names_of_strangers_are_refused(judgement: Judgement) -> None:
    client, link = client_of(judgement), links_of(judgement)[0]
    body = {"task": 0, "answer": "left"}
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert client.post(f"{link}/answer", json=body, headers=headers).status_code == 403
    assert client.get(link, headers={"host": "evil.example"}).status_code == 421
    assert (
        client_of(judgement, hosts=["lab.example"]).get(link, headers={"host": "lab.example"}).status_code
        == 200
    )
    assert judgement.answers() == ([], [])


def test_a_prompt_with_a_script_is_data_and_the_page_sets_it_as_text(
    client: TestClient, judgement: Judgement
) -> None:
    link = links_of(judgement)[0]
    state = client.get(f"{link}/task")
    assert state.headers["content-type"] == "application/json"
    assert "<script>" in state.json()["prompt"]
    page, script = client.get(link), client.get("/rate.js").text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|outerHTML", script)
    assert not re.findall(r"<script(?![^>]*src=)|\son\w+=|<style|\sstyle=", page.text)
    assert not re.findall(r"https?://", page.text + script + client.get("/rate.css").text)


def test_ratings_have_the_scale_and_no_side(make: Callable[..., Judgement]) -> None:
    judgement = make(
        "--set", "judgement.kind=ratings", "--set", "judgement.scale=7", "--set", "design.per_rater=5"
    )
    client, link = client_of(judgement), links_of(judgement)[0]
    state = client.get(f"{link}/task").json()
    assert (state["kind"], state["scale"], len(state["pictures"])) == ("ratings", 7, 1)
    for wrong in (0, 8, "3", 3.0, None, "left"):
        assert answered(client, link, 0, wrong).status_code == 400
    assert answered(client, link, 0, 7).status_code == 200


def test_without_ties_alike_is_no_answer(make: Callable[..., Judgement]) -> None:
    judgement = make("--set", "judgement.ties=false")
    client, link = client_of(judgement), links_of(judgement)[0]
    assert not client.get(f"{link}/task").json()["ties"]
    assert answered(client, link, 0, "tie").status_code == 400


@pytest.mark.thorough
def test_the_page_ends_once_a_look_has_decided(make: Callable[..., Judgement]) -> None:
    words = (
        "analysis.looks=2",
        "design.per_pair=6",
        "design.per_rater=6",
        "design.checks=0",
        "design.repeats=0",
        "exclude.fast_share=1",
    )
    judgement = make(*(it for word in words for it in ("--set", word)))
    client = client_of(judgement)
    brave = {place for place, shown in enumerate(judgement.pictures) if shown.arm == "brave"}
    count = 0
    for rater, link in zip(judgement.raters(), links_of(judgement), strict=True):
        for number, task in enumerate(rater.tasks):
            side = "left" if (task.shown[0] in brave) != (number == 5) else "right"
            answer = answered(client, link, number, side)
            count += answer.status_code == 200
    assert count == judgement.planned // 2  # 5 of 6 prefer one arm: the look after half decides
    assert client.get(f"{links_of(judgement)[-1]}/task").json()["task"] is None
    assert client_of(reopened(judgement.folder)).get(f"{links_of(judgement)[-1]}/task").json()["task"] is None


def test_the_log_may_be_read_by_its_owner_alone(client: TestClient, judgement: Judgement) -> None:
    answered(client, links_of(judgement)[0], 0, "left")
    for name in ("answers.jsonl", ".secret"):
        assert Path(judgement.folder, name).stat().st_mode & 0o077 == 0


def test_a_rater_who_was_added_while_the_page_is_served_is_let_in(
    client: TestClient, judgement: Judgement
) -> None:
    (added,) = judgement.add_raters(1)
    answer = answered(client, path_of(judgement, added), 0, "left")
    assert answer.status_code == 200
    assert answer.json()["done"] == 1

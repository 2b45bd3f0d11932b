"""What a server answers, and to whom: browsers of strangers, names of strangers, sizes, tokens."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("starlette", reason="starlette is not installed: extra [page]")

from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from glidepath.core import GlidepathError
from glidepath.registry import guarded

HERE = "http://127.0.0.1:8000"


async def _read(request: Any) -> Any:
    return PlainTextResponse(str(len(await request.body())))


def _wrong(_request: Any) -> Any:
    raise GlidepathError("the steps are <b>no number</b>")


def _client(**rules: Any) -> TestClient:
    routes = [
        Route("/", lambda _: PlainTextResponse("page")),
        Route("/read", _read, methods=["POST"]),
        Route("/wrong", _wrong),
        Route("/own", lambda _: JSONResponse({}, headers={"cache-control": "max-age=9"})),
    ]
    return TestClient(guarded(routes, **rules), base_url=HERE, follow_redirects=False)


@pytest.fixture
def client() -> TestClient:
    return _client()


def test_every_answer_forbids_scripts_that_are_not_files_of_the_server(client: TestClient) -> None:
    for answer in (client.get("/"), client.get("/none"), client.get("/", headers={"host": "evil.example"})):
        rules = dict(
            rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";")
        )
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == rules["style-src"] == "'self'"
        assert rules["frame-ancestors"] == "'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_an_answer_says_itself_stands(client: TestClient) -> None:
    assert client.get("/own").headers.get_list("cache-control") == ["max-age=9"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000", "192.168.7.1"]
)
def test_addresses_of_digits_and_localhost_are_ours(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1", "a@localhost@b"],
)
def test_the_name_of_a_strangers_site_that_points_here_is_refused(client: TestClient, host: str) -> None:
    """DNS rebinding: the browser takes the answer to be of that site."""
    assert client.get("/", headers={"host": host}).status_code == 421


def test_the_name_of_this_machine_and_one_that_was_allowed_are_ours() -> None:
    client = _client(hosts=["Lab.example"])
    assert client.get("/", headers={"host": f"{socket.gethostname()}:8000"}).status_code == 200
    assert client.get("/", headers={"host": "lab.example:8000"}).status_code == 200
    assert client.get("/", headers={"host": "x.lab.example:8000"}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "http://localhost:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
def test_a_page_of_another_site_changes_nothing_here(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/read", content=b"x", headers=headers).status_code == 403


def test_a_page_of_another_site_reads_nothing_and_may_link_here(client: TestClient) -> None:
    embeds = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client.get("/", headers=embeds).status_code == 403
    assert client.get("/", headers={**embeds, "sec-fetch-mode": "navigate"}).status_code == 200


def test_our_own_page_and_programs_without_an_origin_may_ask(client: TestClient) -> None:
    ours = {"origin": HERE, "sec-fetch-site": "same-origin"}
    assert client.post("/read", content=b"four", headers=ours).text == "4"
    assert client.post("/read", content=b"four").text == "4"


def test_a_body_is_bounded_whether_or_not_its_length_is_said() -> None:
    client = _client(most_bytes=1000)

    def pieces() -> Iterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    assert client.post("/read", content=b"x" * 1000).text == "1000"
    for body in (b"x" * 1001, pieces()):
        answer = client.post("/read", content=body)
        assert answer.status_code == 413
        assert "1,000 bytes" in answer.json()["problem"]


def test_a_token_is_asked_for_and_moves_from_the_address_into_a_cookie() -> None:
    client = _client(token="s3cret")
    assert client.get("/").status_code == 401
    assert client.get("/?token=wrong").status_code == 401
    assert client.post("/read?token=s3cret").status_code == 401
    answer = client.get("/?view=b&token=s3cret")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?view=b")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert client.get("/").text == "page"  # the client has kept the cookie
    assert _client(token="s3cret").get("/", headers={"authorization": "Bearer s3cret"}).text == "page"


@pytest.mark.parametrize("cookie", ["glidepath-=s3cret", "x=s3cret", "glidepath-0=; ;;", 'a="', "é=ü"])
def test_forged_cookies_are_no_token(cookie: str) -> None:
    assert _client(token="s3cret").get("/", headers={"cookie": cookie.encode()}).status_code == 401


def test_the_redirect_with_a_token_leads_to_no_other_site() -> None:
    answer = _client(token="s").get(f"{HERE}//evil.example/?token=s")
    assert answer.headers["location"].startswith("/evil.example")


def test_our_own_errors_are_told_as_data(client: TestClient) -> None:
    answer = client.get("/wrong")
    assert answer.status_code == 400
    assert answer.json() == {"problem": "the steps are <b>no number</b>"}
    assert answer.headers["content-type"] == "application/json"

"""Who is let in: this machine's own pages without a token, all others with it, no other site."""

from http import HTTPStatus

import pytest
from splatworks.studio.gate import COOKIE, answer, is_local

TOKEN = "t0ken-that-is-long-enough"


def test_own_pages_come_in() -> None:
    for host in ("127.0.0.1:8080", "localhost:8080", "[::1]:8080", "127.0.0.1"):
        assert answer("/", {"Host": host}, None) is None
        assert answer("/", {"Host": host, "Origin": f"http://{host}"}, None) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:8080"},  # A name made to mean this machine.
        {"Host": "127.0.0.1:8080", "Origin": "http://evil.example"},
        {"Host": "127.0.0.1:8080", "Origin": "http://127.0.0.1:9999"},
        {"Host": "127.0.0.1:8080", "Origin": "null"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "[", "Origin": "http://["},
        {},
    ],
)
def test_other_sites_stay_out(headers: dict[str, str]) -> None:
    refused = answer("/", headers, None)
    assert refused is not None and refused.status == HTTPStatus.FORBIDDEN


def test_with_a_token_the_first_visit_becomes_a_cookie() -> None:
    host = {"Host": "studio.example:8080"}
    sent = answer(f"/?token={TOKEN}", host, TOKEN)
    assert sent is not None and sent.status == HTTPStatus.FOUND and sent.headers["Location"] == "/"
    cookie = sent.headers["Set-Cookie"].partition(";")[0]
    assert "HttpOnly" in sent.headers["Set-Cookie"] and "Strict" in sent.headers["Set-Cookie"]
    assert answer("/", host | {"Cookie": f"a=b; {cookie}"}, TOKEN) is None
    assert answer("/", host | {"Cookie": cookie, "Origin": "http://evil.example"}, TOKEN)


@pytest.mark.parametrize(
    ("path", "cookie"),
    [
        ("/", ""),
        ("/?token=", ""),
        ("/?token=t0ken", ""),
        (f"/?other={TOKEN}", ""),
        ("/", f"{COOKIE}=wrong"),
        ("/", f"{COOKIE}="),
        ("/", f"other={TOKEN}"),
        ("/?token=%ff", f"{COOKIE}=\xe9"),
    ],
)
def test_without_it_nobody_comes_in(path: str, cookie: str) -> None:
    for host in ("studio.example:8080", "127.0.0.1:8080"):
        refused = answer(path, {"Host": host, "Cookie": cookie}, TOKEN)
        assert refused is not None and refused.status == HTTPStatus.FORBIDDEN
        assert TOKEN not in refused.text


def test_which_addresses_are_this_machine_alone() -> None:
    assert all(is_local(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "LocalHost"))
    assert not any(is_local(host) for host in ("0.0.0.0", "::", "10.0.0.1", "example.org", ""))

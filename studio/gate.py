"""Who may connect. Plain functions over a request's path and headers.

On this machine's own address (127.0.0.1) there is no token, but a page of another site in the same
browser must not reach the studio: its requests carry a foreign `Origin`, or, where a foreign name
was made to mean this machine, a foreign `Host`. Elsewhere, every request needs the token, which the
first visit turns into a cookie.
"""

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

COOKIE = "splatworks-studio"


@dataclass(frozen=True, slots=True)
class Answer:
    """Instead of what was asked for."""

    status: HTTPStatus
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


def is_local(host: str) -> bool:
    """Whether only this machine can reach that address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def answer(path: str, headers: Mapping[str, str], token: str | None) -> Answer | None:
    """None lets the request through.

    Args:
        path: With its query.
        headers: `Host`, `Origin` and `Cookie` are looked at; a mapping that ignores case.
        token: What has to be shown; None on this machine's own address.
    """
    host, origin = headers.get("Host", ""), headers.get("Origin")
    if token is None and not is_local(_name(host)):
        return Answer(HTTPStatus.FORBIDDEN, f"The studio is not served as {host!r}.\n")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return Answer(HTTPStatus.FORBIDDEN, "The studio takes no requests from other sites.\n")
    if token is None or _same(_cookie(headers.get("Cookie", "")), token):
        return None
    url = urlsplit(path)
    if _same(parse_qs(url.query).get("token", [""])[0], token):
        cookie = f"{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"
        return Answer(HTTPStatus.FOUND, "", {"Location": url.path or "/", "Set-Cookie": cookie})
    return Answer(
        HTTPStatus.FORBIDDEN,
        "Open the address with the token that `pipeline studio` has printed.\n",
    )


def _name(host: str) -> str:
    """Without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _cookie(text: str) -> str:
    try:
        found = SimpleCookie(text).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode("utf-8"))

"""A GET that says in one line why it did not work."""

from __future__ import annotations

import json
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from otel_dynabase.doctor.check import Unknown, Wrong
from otel_dynabase.doctor.settings import OFF

MOST: Final = 64 * 1024 * 1024
"""Bytes of the longest answer that is read."""
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Refused(Exception):  # noqa: N818  # some hops expect it
    """The server answered, and not with what was asked for."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"it answered {status}: {text}" if text else f"it answered {status}")
        self.status = status


def get(url: str, timeout: float, advice: str, **parameters: str) -> str:
    """Return what a server answers. Raises Refused, and Wrong when it does not answer; Unknown when it is off."""
    if url == OFF:
        raise Unknown("switched off")
    query = "?" + urlencode(parameters) if parameters else ""
    # a proxy of the environment's knows nothing of this machine's loopback
    proxies = [ProxyHandler({})] if urlsplit(url).hostname in LOOPBACK else []
    try:
        with build_opener(*proxies).open(Request(url + query), timeout=timeout) as answer:  # noqa: S310  # http or https
            return str(answer.read(MOST).decode(errors="replace"))
    except HTTPError as error:
        first = error.read(1000).decode(errors="replace").strip().partition("\n")[0]
        raise Refused(error.code, first[:200]) from None
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise Wrong(f"{url} cannot be reached: {reason}", advice) from None


def get_json(url: str, timeout: float, advice: str, **parameters: str) -> Any:
    """Return the JSON that a server answers with. Raises as `get`, and Wrong when it is none."""
    text = get(url, timeout, advice, **parameters)
    try:
        return json.loads(text)
    except ValueError:
        raise Wrong(f"{url} does not answer with JSON", advice) from None

"""Who is told by the stack's Alertmanager: PagerDuty and Slack as seen from it, on loopback.

It takes the wire forms of PagerDuty's Events API v2 and of Slack's incoming webhooks, refuses what they would refuse,
and keeps what came, with the time it came.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from examples.stack.process import free_port

if TYPE_CHECKING:
    from pathlib import Path

PAGERDUTY: Final = "/v2/enqueue"
SLACK: Final = "/services/"
SEVERITIES: Final = {"critical", "error", "warning", "info"}  # PagerDuty's
SUMMARY: Final = 1024  # characters, at PagerDuty


class RefusedError(Exception):
    """PagerDuty or Slack would refuse this message: the status and the text of the answer."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Notification:
    """One message: when it came in Unix seconds, whom it is for (`pagerduty`, or a channel), and what it says."""

    time: float
    to: str
    plan: str
    title: str
    text: str

    def tells(self, alert: str, plan: str) -> bool:
        """Say whether it tells that this alert fires for this plan."""
        return self.plan == plan and re.search(rf"^\*?{alert}\*?: ", self.text, re.MULTILINE) is not None


class Notifications:
    """The receiver; `received` and a file of JSON Lines hold what came, oldest first, without the secrets."""

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        self.file = directory.absolute() / "notifications.jsonl"
        self.received: list[Notification] = []
        self.routing_key = secrets.token_hex(16)
        self._port = port or free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._slack = {f"{SLACK}{secrets.token_urlsafe()}": channel for channel in ("ops", "analytics")}
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    @property
    def secrets(self) -> dict[str, str]:
        """The files of Alertmanager's `secrets` folder, by name, that lead here."""
        slack = {f"slack-{channel}-url": self.url + path for path, channel in self._slack.items()}
        return {"pagerduty-routing-key": self.routing_key, **slack}

    def start(self) -> None:
        """Listen; does nothing while it does."""
        if self._server is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._server = _Server(self, self._port)
            threading.Thread(target=self._server.serve_forever, name="notifications", daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, path: str, message: Any, at: float) -> tuple[HTTPStatus, str]:
        """Keep a message that came at this time; return the answer's status and text.

        Raises RefusedError.
        """
        if path == PAGERDUTY:
            notification, answer = self._page(message, at), (HTTPStatus.ACCEPTED, '{"status": "success"}')
        elif path in self._slack:
            notification, answer = self._post(message, at), (HTTPStatus.OK, "ok")
        else:
            raise RefusedError(HTTPStatus.FORBIDDEN, "invalid_token")
        with self._lock, self.file.open("a") as file:
            file.write(json.dumps(asdict(notification)) + "\n")
            self.received.append(notification)
        return answer

    def _page(self, event: Any, at: float) -> Notification:
        payload = event.get("payload", {})
        valid = (
            event.get("routing_key") == self.routing_key
            and event.get("event_action") in {"trigger", "acknowledge", "resolve"}
            and 0 < len(payload.get("summary", "")) <= SUMMARY
            and payload.get("source")
            and payload.get("severity") in SEVERITIES
        )
        if not valid:
            raise RefusedError(HTTPStatus.BAD_REQUEST, '{"status": "invalid event"}')
        details = payload.get("custom_details", {})
        text = details.get("firing", "") + details.get("resolved", "")
        return Notification(at, "pagerduty", payload.get("group", ""), payload["summary"], text)

    def _post(self, message: Any, at: float) -> Notification:
        if not message.get("attachments"):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "no_text")
        (said,) = message["attachments"]
        return Notification(at, message["channel"], said["footer"].removeprefix("plan: "), said["title"], said["text"])


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, notifications: Notifications, port: int) -> None:
        self.notifications = notifications
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:  # the base class' name
        at = time.time()
        try:
            message = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self._answer(*self.server.notifications.take(self.path, message, at))
        except RefusedError as refused:
            self._answer(refused.status, str(refused))
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            self._answer(HTTPStatus.BAD_REQUEST, f"not a message of PagerDuty's or Slack's: {error!r}")

    def do_GET(self) -> None:
        file = self.server.notifications.file
        self._answer(HTTPStatus.OK, file.read_text() if file.exists() else "")

    def _answer(self, status: HTTPStatus, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no access log: its paths are secrets."""

"""The Alertmanager of the stack, with the configuration that users deploy: `collector/alertmanager`.

Only its addresses and secrets are the stack's own: they lead to `notifications`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from examples.stack import build
from examples.stack.notifications import PAGERDUTY, Notifications
from examples.stack.part import Part
from examples.stack.process import ROOT, ChildProcess, answers_ok, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

CONFIG: Final = ROOT / "collector" / "alertmanager"
DEPLOYED: Final = "/etc/alertmanager"
ENQUEUE: Final = f"https://events.pagerduty.com{PAGERDUTY}"
TIMEOUT: Final = 10.0


class Alertmanager(Part):
    """One Alertmanager on loopback, and whom it tells; ports stay the same over restarts."""

    def __init__(self, directory: Path, *, port: int | None = None, notifications_port: int | None = None) -> None:
        self.directory = directory.absolute()
        self.url = f"http://127.0.0.1:{port or free_port()}"
        self.notifications: Notifications | None = Notifications(self.directory, port=notifications_port)
        super().__init__("Alertmanager", ChildProcess("Alertmanager", self.directory / "alertmanager.log"))

    @classmethod
    def existing(cls, url: str) -> Self:
        """Return a server that runs already; whom it tells is its own affair."""
        part = cls(Path())
        part.child = part.notifications = None
        part.url = url.rstrip("/")
        return part

    def is_ready(self) -> bool:
        """Say whether it takes alerts."""
        if self.child is not None:
            return answers_ok(httpx.URL(self.url).port or 0, "/-/ready")
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=TIMEOUT, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def _launch(self, child: ChildProcess) -> None:
        program = build.alertmanager().ensure()
        if self.notifications is not None:
            self.notifications.start()
            self._configure(self.notifications)
        arguments = [
            f"--config.file={self.directory / 'alertmanager.yml'}",
            f"--storage.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{httpx.URL(self.url).port}",
            "--cluster.listen-address=",  # alone: no gossip
        ]
        child.start([program, *arguments], self.is_ready)

    def _configure(self, notifications: Notifications) -> None:
        """Write the deployed configuration with addresses of the stack's own, and the secrets' files."""
        secrets = self.directory / "secrets"
        secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, secret in notifications.secrets.items():
            (secrets / name).touch(mode=0o600)
            (secrets / name).write_text(f"{secret}\n")
        text = (CONFIG / "alertmanager.yml").read_text()
        for deployed, here in {DEPLOYED: str(self.directory), ENQUEUE: notifications.url + PAGERDUTY}.items():
            if deployed not in text:
                raise ValueError(f"{CONFIG}/alertmanager.yml must name {deployed}: the stack puts its own in its place")
            text = text.replace(deployed, here)
        (self.directory / "alertmanager.yml").write_text(text)
        for template in CONFIG.glob("*.tmpl"):
            shutil.copy(template, self.directory)

    def stop(self) -> None:
        """Shut down in good order, the receiver last."""
        super().stop()
        if self.notifications is not None:
            self.notifications.stop()

    def post(self, *alerts: Mapping[str, Any]) -> None:
        """Hand it alerts as Prometheus does: `labels`, `annotations`, and `endsAt` of one that is over.

        Raises httpx.HTTPStatusError when it refuses them.
        """
        url = f"{self.url}/api/v2/alerts"
        httpx.post(url, json=list(alerts), timeout=TIMEOUT, trust_env=False).raise_for_status()

    def alerts(self) -> Sequence[dict[str, Any]]:
        """Return the alerts that it has now, with their `labels` and `status` (`inhibitedBy` among it)."""
        answer = httpx.get(f"{self.url}/api/v2/alerts", timeout=TIMEOUT, trust_env=False).raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

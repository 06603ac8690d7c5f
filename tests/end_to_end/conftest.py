from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from examples.load import BUSY
from examples.stack import keeper
from examples.stack.clickhouse import ClickHouse
from examples.stack.postgres import Postgres
from examples.stack.prometheus import Prometheus
from examples.stack.stack import Stack
from tests.end_to_end.running import ROOT, AfterSignals, App

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), environ={}) as running:
        yield running


@pytest.fixture(scope="session")
def sleeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Make a server of one tenant's own, which sleeps."""
    server = Postgres(tmp_path_factory.mktemp("sleeper"))
    server.start()
    server.execute("CREATE DATABASE sleeper")
    server.stop()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def after_signals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AfterSignals]:
    """Run `examples.signals` on a stack of its own, once for all who ask its stores.

    A machine that was too busy for the load has a second chance.
    """
    with contextlib.ExitStack() as stacks:
        for _ in range(2):
            directory = tmp_path_factory.mktemp("signals")
            stacks.callback(keeper.down, directory)
            command = [sys.executable, "-m", "examples.signals", "--keep", "--directory", str(directory)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
            if BUSY not in done.stderr:
                break
            keeper.down(directory)
        assert done.returncode == 0, done.stdout + done.stderr
        state = keeper.State.read(directory)
        assert state is not None
        at = state.endpoints
        yield AfterSignals(
            done,
            Postgres.existing(at.postgres),
            ClickHouse.existing(at.clickhouse),
            Prometheus.existing(at.prometheus),
            at.environment(),
        )


@pytest.fixture
def app() -> Iterator[Callable[..., App]]:
    started: list[App] = []

    def start(*args: Any, **env: str) -> App:
        started.append(App(*args, **env))
        return started[-1]

    yield start
    for each in started:
        each.close()

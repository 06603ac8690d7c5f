from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from examples.stack.postgres import Postgres
from examples.stack.stack import Stack
from tests.end_to_end.running import App

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


@pytest.fixture
def app() -> Iterator[Callable[..., App]]:
    started: list[App] = []

    def start(*args: Any, **env: str) -> App:
        started.append(App(*args, **env))
        return started[-1]

    yield start
    for each in started:
        each.close()

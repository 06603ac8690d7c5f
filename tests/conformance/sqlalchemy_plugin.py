"""Loaded beside the other plugin into the pytest that runs SQLAlchemy's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.sides import PROJECT

if TYPE_CHECKING:
    from sqlalchemy.pool import Pool

    from otel_dynabase.probes.acquire import Wait


def pytest_configure(config: pytest.Config) -> None:
    """Have every pool followed, also those of pretended drivers: else hardly one of them would be."""
    if config.getoption("--side") == "plain":
        return
    from otel_dynabase.adapters.sqlalchemy import pools  # noqa: PLC0415  # imports SQLAlchemy

    begin = pools.PoolWrappers._begin

    def bound(wrappers: pools.PoolWrappers, pool: Pool) -> Wait | None:
        pool.__dict__.setdefault(pools.PROJECT, PROJECT)
        return begin(wrappers, pool)

    setattr(pools.PoolWrappers, "_begin", bound)  # noqa: B010  # a method
    vars(pools)["for_postgresql"] = lambda _pool: True
    vars(pools)["target_of"] = lambda _engine: ("pretended", None)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart() -> None:
    """Ask for no extensions: PostgreSQL out of a wheel has none."""
    from sqlalchemy.dialects.postgresql import provision  # noqa: PLC0415

    provision._extensions.clear()

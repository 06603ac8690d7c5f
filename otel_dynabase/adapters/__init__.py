"""One file for each library. An adapter says what the library does and knows neither metrics nor OpenTelemetry."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from otel_dynabase.tenant import checked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_dynabase.adapters.patches import Patch
    from otel_dynabase.probes import Probes

logger = logging.getLogger("otel_dynabase")


def tables(probes: Probes) -> Iterator[tuple[str, tuple[Patch, ...]]]:
    """Return each installed library's name and its table of patches."""
    if find_spec("asyncpg") is not None:
        from otel_dynabase.adapters import asyncpg  # noqa: PLC0415  # only where the library is installed

        yield "asyncpg", asyncpg.patches(probes)
        yield from forerunners()


def forerunners() -> Iterator[tuple[str, tuple[Patch, ...]]]:
    """Return the tables that must be in force before other instrumentation is."""
    if find_spec("asyncpg") is not None:
        from otel_dynabase.adapters import official  # noqa: PLC0415  # only where the library is installed

        yield "opentelemetry-instrumentation-asyncpg", official.PATCHES


def release() -> None:
    """Take back what adapters have put on objects that are still in use."""
    if find_spec("asyncpg") is not None:
        from otel_dynabase.adapters import asyncpg  # noqa: PLC0415  # only where the library is installed

        asyncpg.release()


def bind_tenant(pool: Any, project_id: str) -> None:
    """Say that a pool serves one project only; a pool of asyncpg's must be open (awaited) already.

    An unusable `project_id` gives one warning and counts as `unknown`; nothing is ever raised.
    """
    project_id = checked(project_id, "bind_tenant()")
    if find_spec("asyncpg") is not None:
        from otel_dynabase.adapters import asyncpg  # noqa: PLC0415  # only where the library is installed

        if asyncpg.bind(pool, project_id):
            return
    logger.warning(
        "otel-dynabase: bind_tenant(%s, %r) has no effect: expected an open asyncpg.Pool",
        type(pool).__name__,
        project_id,
    )

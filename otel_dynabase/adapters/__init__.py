"""One file for each library. An adapter says what the library does and knows neither metrics nor OpenTelemetry."""

from __future__ import annotations

import importlib
import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from otel_dynabase import faults
from otel_dynabase.tenant import checked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_dynabase.adapters.patches import Patch
    from otel_dynabase.probes import Probes

logger = logging.getLogger("otel_dynabase")

LIBRARIES = ("asyncpg", "psycopg", "sqlalchemy", "pybreaker", "purgatory")
"""The libraries that there is an adapter for, by the name that they are imported by: the module here has it too.

An adapter has `patches(probes)`, its table; and where it needs them `release()`, which takes back what it has put on
objects that are still in use, and `bind(target, project_id)`, which says whether the target is one of its library's.
"""


def _installed(part: str) -> Iterator[tuple[str, Any]]:
    """Return the adapters of installed libraries that have a part, importing only these, and the part."""
    for library in LIBRARIES:
        if find_spec(library) is not None:
            adapter = _adapter(library)
            if hasattr(adapter, part):
                yield library, getattr(adapter, part)


def _adapter(library: str) -> Any:
    """Import an adapter; None where this version of its library lacks what the adapter is made of."""
    try:
        return importlib.import_module(f"{__name__}.{library}")
    except Exception:
        faults.ignore(f"importing the adapter of {library}")
        return None


def tables(probes: Probes) -> Iterator[tuple[str, tuple[Patch, ...]]]:
    """Return each installed library's name and its table of patches."""
    for library, patches in _installed("patches"):
        yield library, patches(probes)
    yield from forerunners()


def forerunners() -> Iterator[tuple[str, tuple[Patch, ...]]]:
    """Return the tables that must be in force before other instrumentation is."""
    if find_spec("asyncpg") is not None:
        from otel_dynabase.adapters import official  # noqa: PLC0415  # only where the library is installed

        yield "opentelemetry-instrumentation-asyncpg", official.PATCHES


def release() -> None:
    """Take back what adapters have put on objects that are still in use."""
    for _library, part in _installed("release"):
        part()


def bind_tenant(target: Any, project_id: str) -> None:
    """Say that a pool, an engine or a circuit breaker serves one project only.

    A pool of asyncpg's must be open (awaited) already. An unusable `project_id` gives one warning and counts as
    `unknown`; nothing is ever raised.
    """
    project_id = checked(project_id, "bind_tenant()")
    if any(bind(target, project_id) for _library, bind in _installed("bind")):
        return
    logger.warning(
        "otel-dynabase: bind_tenant(%s, %r) has no effect: expected an open pool or a circuit breaker of %s",
        type(target).__name__,
        project_id,
        ", ".join(LIBRARIES),
    )

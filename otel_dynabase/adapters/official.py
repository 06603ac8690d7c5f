"""The official asyncpg instrumentation, which comes with us: made safe for calls by keyword.

It reads `args[0]` and raises IndexError for `connection.fetch(query="…")` (0.62b0 to 0.66b1). An application that
never asked for it must not fail by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_dynabase.adapters.patches import Patch

if TYPE_CHECKING:
    from collections.abc import Callable

TOUCHPOINTS = ("opentelemetry.instrumentation.asyncpg:AsyncPGInstrumentor._do_execute",)


def _by_position(original: Callable[..., Any]) -> Callable[..., Any]:
    async def _do_execute(
        instrumentor: Any, func: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not args:
            name = next((name for name in ("query", "command") if name in kwargs), None)
            if name is not None:
                args = (kwargs[name],)
                kwargs = {key: value for key, value in kwargs.items() if key != name}
        return await original(instrumentor, func, connection, args, kwargs)

    return _do_execute


PATCHES = (Patch("opentelemetry.instrumentation.asyncpg", "AsyncPGInstrumentor._do_execute", _by_position),)
"""Must be in force before that instrumentation is, which keeps the method it finds."""

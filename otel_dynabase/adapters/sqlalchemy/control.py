"""What SQLAlchemy runs by itself: transactions' statements are not the application's, their failures are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_dynabase import faults
from otel_dynabase.adapters.sqlalchemy.pools import PROBE
from otel_dynabase.tenant import Mark, is_internal, mark_internal, unmark

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.probes import Probes

    Function = Callable[..., Any]


def internal(original: Function) -> Function:
    """Wrap a function whose statements are SQLAlchemy's own work."""

    def run(*args: Any, **kwargs: Any) -> Any:
        mark = mark_internal()
        try:
            return original(*args, **kwargs)
        finally:
            unmark(mark)

    return run


def upkeep(original: Function) -> Function:
    """Wrap a function of a pool's upkeep, which may run listeners of the application's."""

    def run(*args: Any, **kwargs: Any) -> Any:
        mark = Mark()
        try:
            return original(*args, **kwargs)
        finally:
            mark.end()

    return run


class ControlWrappers:
    """Wrappers of transaction control that goes through `Connection.execute` like a statement."""

    def __init__(self, probes: Probes) -> None:
        self._probes = probes

    def control(self, original: Function) -> Function:
        """Wrap a dialect's method whose first argument is a Connection: savepoints, two-phase transactions."""

        def run(dialect: Any, connection: Any, *args: Any, **kwargs: Any) -> Any:
            if is_internal():
                return original(dialect, connection, *args, **kwargs)
            mark = mark_internal()
            try:
                return original(dialect, connection, *args, **kwargs)
            except BaseException as error:
                self._failed(connection, error)
                raise
            finally:
                unmark(mark)

        return run

    def _failed(self, connection: Any, error: BaseException) -> None:
        try:
            probe = connection.engine.pool.__dict__.get(PROBE)
            if probe is not None:
                self._probes.statements.control_failed(probe.series(), getattr(error, "orig", None) or error)
        except Exception:
            faults.ignore("measuring failed transaction control")

"""psycopg's connections: who asked for one, and whose statements run on it."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from psycopg import Error

from otel_dynabase import faults
from otel_dynabase.adapters.psycopg.target import target_of
from otel_dynabase.probes.acquire import Connecting, current_wait
from otel_dynabase.tenant import is_internal

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.probes import Probes
    from otel_dynabase.probes.pool import PoolProbe
    from otel_dynabase.probes.tenants import TenantSeries

    Function = Callable[..., Any]

PROBE = "_otel_dynabase_probe"
"""Attribute of a connection: the probe of the pool of psycopg_pool's that it belongs to; set by `adopt`."""
DATABASE = "_otel_dynabase_database"
"""Attribute of a connection without a pool: the name of its database, which a closed connection cannot be asked for."""


class Marked:
    """Objects that carry attributes of ours, by weak references, from any thread."""

    def __init__(self, *attributes: str) -> None:
        self._attributes = attributes
        self._objects: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.RLock()  # a collection inside it may finalize an object that comes here

    def add(self, marked: Any) -> None:
        """Remember an object."""
        with self._lock:
            self._objects.add(marked)

    def release(self) -> None:
        """Take the attributes back."""
        with self._lock:
            marked = list(self._objects)
            self._objects.clear()
        for one in marked:
            for attribute in self._attributes:
                one.__dict__.pop(attribute, None)


marked_connections = Marked(PROBE, DATABASE)


def adopt(connection: Any, probe: PoolProbe) -> None:
    """Say which pool of psycopg_pool's a connection belongs to."""
    attributes = connection.__dict__
    if attributes.get(PROBE) is not probe:
        attributes[PROBE] = probe
        marked_connections.add(connection)


class ConnectionWrappers:
    """Wrappers of connecting, and the one place that says whose a connection is."""

    def __init__(self, probes: Probes) -> None:
        self._probes = probes

    def series_of(self, connection: Any) -> TenantSeries:
        """Find out for whom a connection is used: its pool's tenant, its database's, or the current task's."""
        probe: PoolProbe | None = connection.__dict__.get(PROBE)
        if probe is not None:
            return probe.series()
        return self._probes.pools.series_of(connection) or self.series_of_database(database_of(connection))

    def series_of_database(self, database: str | None) -> TenantSeries:
        """Return the series of a database's tenant, or of the current task's."""
        tenants = self._probes.tenants
        project = tenants.project_of(database)
        return tenants.current() if project is None else tenants.of(project)

    def method(self, original: Function) -> Function:
        """Wrap Connection.connect, a class method."""

        def connect(cls: Any, *args: Any, **kwargs: Any) -> Any:
            connecting = self._begin(args, kwargs)
            try:
                connection = original(cls, *args, **kwargs)
            except BaseException as error:
                if connecting is not None:
                    connecting.failed(error)
                raise
            if connecting is not None:
                connecting.done()
            return connection

        return connect

    def function(self, original: Function) -> Function:
        """Wrap psycopg.connect, which is Connection.connect as it was when psycopg was imported."""
        connect = self.method(lambda _cls, *args, **kwargs: original(*args, **kwargs))
        return lambda *args, **kwargs: connect(None, *args, **kwargs)

    def async_method(self, original: Function) -> Function:
        """Wrap AsyncConnection.connect, a class method."""

        async def connect(cls: Any, *args: Any, **kwargs: Any) -> Any:
            connecting = self._begin(args, kwargs)
            try:
                connection = await original(cls, *args, **kwargs)
            except BaseException as error:
                if connecting is not None:
                    connecting.failed(error)
                raise
            if connecting is not None:
                connecting.done()
            return connection

        return connect

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Connecting | None:
        """Begin a connect that somebody waits for; one that a pool of psycopg's makes is under way already."""
        try:
            if is_internal():
                return None
            wait = current_wait.get()
            if wait is not None:  # another library's pool, which connects through the driver
                return Connecting(self._probes.pools, wait.series, wait.probe, wait)
            conninfo = args[0] if args else kwargs.get("conninfo")
            named = {name: value for name, value in kwargs.items() if name != "conninfo"}
            series = self.series_of_database(target_of(conninfo, named)[1])
            return Connecting(self._probes.pools, series, None, None)
        except Exception:
            faults.ignore("beginning a connect")
            return None


def database_of(connection: Any) -> str | None:
    """Return a connection's database; None if nobody has asked before it was closed."""
    database: str | None = connection.__dict__.get(DATABASE)
    if database is None:
        try:
            database = connection.info.dbname
        except Error:
            return None
        connection.__dict__[DATABASE] = database
        marked_connections.add(connection)
    return database

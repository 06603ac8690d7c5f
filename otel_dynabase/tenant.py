"""Who this work is for: the tenant of the current task, of a request, of a pool; or nobody.

The tenant of a task lives in a context variable of our own, so that nothing of it leaves the process; W3C baggage is
written only where asked (`propagate=True`), and read only where its sender is trusted. Whatever the source, it names
a project and nothing else: plan and tier come from the directory.
"""

from __future__ import annotations

import contextvars
import logging
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Self

from opentelemetry import baggage, context
from opentelemetry.baggage.propagation import W3CBaggagePropagator

from otel_dynabase import faults
from otel_dynabase.catalog.attributes import PROJECT, UNKNOWN
from otel_dynabase.directory import valid_project_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping
    from types import TracebackType

    Scope = MutableMapping[str, Any]
    AsgiApp = Callable[[Scope, Callable[..., Awaitable[Any]], Callable[..., Awaitable[None]]], Awaitable[None]]

logger = logging.getLogger("otel_dynabase")

_project: ContextVar[str | None] = ContextVar("otel_dynabase_project", default=None)
_nobody: ContextVar[Mark | None] = ContextVar("otel_dynabase_nobody", default=None)

trust_baggage = False
"""Read `project_id` from incoming W3C baggage: OTEL_DYNABASE_TRUST_BAGGAGE."""

_warned: set[str] = set()


def current_project() -> str | None:
    """Return the project that the current task works for, or None where nobody said."""
    project = _project.get()
    if project is None and trust_baggage:
        return _from_baggage()
    return project


def _from_baggage() -> str | None:
    claimed = baggage.get_baggage(PROJECT.name)
    return checked(claimed, "baggage") if claimed is not None else None


def checked(project_id: object, where: str) -> str:
    """Return a usable project, or `unknown`; say so once for each place it came from."""
    if isinstance(project_id, str) and valid_project_id(project_id):
        return project_id
    if where not in _warned:
        _warned.add(where)
        shown = repr(project_id)[:60] if not isinstance(project_id, str) else repr(project_id[:40])
        logger.warning(
            "otel-dynabase: %s in %s is not a project_id (text of 1 to 128 printable characters without spaces); "
            "its work is measured as project_id=%r. Further ones are not logged.",
            shown,
            where,
            UNKNOWN,
        )
    return UNKNOWN


def _carried(project: str, *, propagate: bool) -> context.Context | None:
    """Return the context whose baggage fits a tenant: with it, or without another one; None where it fits already."""
    if propagate:
        return baggage.set_baggage(PROJECT.name, project)
    if baggage.get_baggage(PROJECT.name) in (None, project):
        return None
    return baggage.remove_baggage(PROJECT.name)


class tenant:  # noqa: N801  # reads as a statement: `with tenant("proj_1"):`
    """Attribute the work inside to a project: `with tenant("proj_1"):` or `async with tenant("proj_1"):`.

    `propagate=True` also puts the project into W3C baggage, which instrumented clients send to the services they call.
    An unusable `project_id` gives one warning and counts as `unknown`; it never raises.
    """

    __slots__ = ("_entered", "_project_id", "_propagate")

    def __init__(self, project_id: str, *, propagate: bool = False) -> None:
        self._project_id = project_id
        self._propagate = propagate
        self._entered: list[tuple[Token[str | None], Token[context.Context] | None]] = []

    def __enter__(self) -> Self:
        try:
            project = checked(self._project_id, "tenant()")
            carried = _carried(project, propagate=self._propagate)
            token = _project.set(project)
            self._entered.append((token, None if carried is None else context.attach(carried)))
        except Exception:
            faults.ignore("entering a tenant")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if not self._entered:
                return
            project, carried = self._entered.pop()
            if carried is not None:
                context.detach(carried)
            with suppress(ValueError):  # left in another context than entered (a generator closed late): gone anyway
                _project.reset(project)
        except Exception:
            faults.ignore("leaving a tenant")

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


class TenantMiddleware:
    """ASGI middleware: attribute each request to the project that `project_of(scope)` names, if it names one.

    Wrap it around the application inside whatever authenticates the caller; `project_of` must return what that has
    verified, never what the caller claims. Without `project_of`, the request's W3C baggage says it, where that is
    trusted (OTEL_DYNABASE_TRUST_BAGGAGE).
    """

    def __init__(self, app: AsgiApp, project_of: Callable[[Scope], str | None] | None = None) -> None:
        self._app = app
        self._project_of = project_of or _claimed

    async def __call__(
        self, scope: Scope, receive: Callable[..., Awaitable[Any]], send: Callable[..., Awaitable[None]]
    ) -> None:
        """Serve one request as its tenant."""
        project = None
        try:
            if scope["type"] in {"http", "websocket"}:
                project = self._project_of(scope)
        except Exception:
            faults.ignore("asking a request for its project")
        if project is None:
            await self._app(scope, receive, send)
            return
        with tenant(project):
            await self._app(scope, receive, send)


def _claimed(scope: Scope) -> str | None:
    """Read a request's project from its W3C baggage, if the sender is trusted."""
    if not trust_baggage:
        return None
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    carried = W3CBaggagePropagator().extract(headers, context.Context())
    claimed = baggage.get_baggage(PROJECT.name, carried)
    return None if claimed is None else checked(claimed, "baggage")


class Mark:
    """A stretch of work that is nobody's, for as long as it `lasts`.

    Tasks that are started meanwhile inherit the mark with their context, and are nobody's until it ends: an
    application's `init` may gather tasks. What outlives it (a listener's callback, a transport) is not marked any more.
    """

    __slots__ = ("lasts", "nobody", "project")

    def __init__(self) -> None:
        self.lasts = True
        self.nobody = _nobody.set(self)
        self.project: Token[str | None] | None = None

    def end(self) -> None:
        """End the stretch."""
        self.lasts = False
        with suppress(ValueError):  # ended late, in another context than it began in: that context is gone anyway
            if self.project is not None:
                _project.reset(self.project)
            _nobody.reset(self.nobody)


def mark_connecting() -> Mark:
    """Mark the making of a connection; its callbacks run in this context for as long as it lives: for no tenant."""
    mark = Mark()
    mark.project = _project.set(UNKNOWN)
    return mark


_DRIVER = contextvars.Context().run(Mark)
"""The mark of what runs nothing of the application's and starts no task; it need not end."""


def mark_internal() -> Token[Mark | None]:
    """Mark what the driver does by itself from here to `unmark`."""
    return _nobody.set(_DRIVER)


def unmark(token: Token[Mark | None]) -> None:
    """End what `mark_internal` began."""
    try:
        _nobody.reset(token)
    except ValueError:  # as in Mark.end, at a tenth of the cost
        pass


marked = _nobody.get
"""The current mark, or None: asked before `is_internal` where every call counts."""


def is_internal() -> bool:
    """Say whether the current task is at work for nobody: a driver's upkeep, or our own directory."""
    mark = _nobody.get()
    return mark is not None and mark.lasts


@contextmanager
def nobody() -> Iterator[None]:
    """Mark everything inside as nobody's work: nothing is measured."""
    mark = Mark()
    try:
        yield
    finally:
        mark.end()

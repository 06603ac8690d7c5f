"""Where a directory's rows come from: the boundary that a file, a query and an application's own function share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping


@runtime_checkable
class Source(Protocol):
    """Answers with all rows: mappings with `project_id`, `tenant_id`, `plan`, `tier`, `database`.

    May block (it is asked on a background thread) and may raise anything.
    """

    def load(self) -> Iterable[Mapping[str, object]]:
        """Return the rows as they are now."""
        ...


@runtime_checkable
class Versioned(Protocol):
    """A source that can say cheaply whether its answer has changed."""

    def version(self) -> Hashable:
        """Return a value that differs from the last one if `load` would answer differently."""
        ...


AnySource: TypeAlias = "Source | Callable[[], Iterable[Mapping[str, object]]]"


class UnusableError(Exception):
    """A source's content cannot be used, and will not become usable until it changes. The message says why."""

"""Which parts the observer has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_dynabase.catalog.metrics import SELF_FOLDED
from otel_dynabase.observer.journal import QUERY, Journal
from otel_dynabase.observer.settings import SHIPPED
from otel_dynabase.observer.state.configured import dsn_of
from otel_dynabase.observer.usage import UsagePart
from otel_dynabase.observer.watch import Watch
from otel_dynabase.store import Budget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_dynabase.config import Config
    from otel_dynabase.events import EventLog
    from otel_dynabase.observer.ceilings import Limits
    from otel_dynabase.observer.facts import Facts
    from otel_dynabase.observer.part import Part
    from otel_dynabase.observer.settings import ObserverConfig
    from otel_dynabase.store import Store


def parts_of(
    store: Store,
    events: EventLog,
    *,
    config: Config,
    settings: ObserverConfig,
    limits: Limits,
    facts: Callable[[], Mapping[str, Facts]],
) -> list[Part]:
    """Make all parts, without asking anybody anything yet."""
    budget = Budget(config.max_tenants, store.sum(SELF_FOLDED))
    watch = Watch(
        store,
        events,
        facts=facts,
        tells=settings.observe_tells,
        prices=settings.observe_prices,
        budget=budget,
        journal=_journal(config, settings),
    )
    usage = UsagePart(store, events, settings, limits=limits, budget=budget, pattern=config.database_pattern)
    return [watch, usage]


def _journal(config: Config, settings: ObserverConfig) -> Journal | None:
    query, dsn = settings.observe_changes_query, dsn_of(config.directory, config.directory_dsn_file)
    if query is None or dsn is None:
        return None
    return Journal(dsn, QUERY if query == SHIPPED else query)

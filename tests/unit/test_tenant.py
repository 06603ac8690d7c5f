"""Who the work is for: contexts, tasks, threads, generators, baggage, and tenants that lie."""

import asyncio
import contextvars
import importlib
import threading

import pytest
from opentelemetry import baggage, context
from opentelemetry.baggage.propagation import W3CBaggagePropagator

from otel_dynabase import TenantMiddleware, current_project
from otel_dynabase.catalog.attributes import UNKNOWN
from otel_dynabase.tenant import Mark, is_internal, mark_connecting, mark_internal, nobody, tenant, unmark

tenant_module = importlib.import_module("otel_dynabase.tenant")  # the package's `tenant` is the class

HUGE = "x" * 10_000_000
UNUSABLE = ["", " ", "two words", "tab\t", "line\n", "nul\0", "x" * 129, HUGE, "\ud800", None, 5, b"proj", ["proj"]]


@pytest.fixture
def trusted(monkeypatch):
    monkeypatch.setattr(tenant_module, "trust_baggage", True)


def carrying(**entries):
    """Attach baggage, as an instrumented server does with an incoming request's."""
    carried = context.Context()
    for name, value in entries.items():
        carried = baggage.set_baggage(name, value, carried)
    return context.attach(carried)


# --- contexts ---------------------------------------------------------------------------------------------------------


def test_a_tenant_lasts_as_long_as_its_block():
    assert current_project() is None
    with tenant("proj_1"):
        assert current_project() == "proj_1"
        with tenant("proj_2"):
            assert current_project() == "proj_2"
        assert current_project() == "proj_1"
    assert current_project() is None


def test_an_error_passes_and_ends_the_tenant():
    with pytest.raises(LookupError), tenant("proj_1"):
        raise LookupError
    assert current_project() is None


def test_a_block_can_be_entered_again():
    block = tenant("proj_1")
    for _ in range(2):
        with block:
            assert current_project() == "proj_1"
        assert current_project() is None


def test_one_block_can_be_entered_inside_itself():
    def nest():
        block = tenant("proj_1")
        with block, block:
            inside = current_project()
        return inside, current_project()

    assert contextvars.copy_context().run(nest) == ("proj_1", None)


def test_the_asynchronous_form_is_the_same():
    async def main():
        async with tenant("proj_1") as entered:
            assert isinstance(entered, tenant)
            await asyncio.sleep(0)
            return current_project()

    assert asyncio.run(main()) == "proj_1"


def test_tasks_inherit_and_do_not_leak():
    async def work(project):
        async with tenant(project):
            await asyncio.sleep(0)
            return [current_project(), await asyncio.create_task(inherited())]

    async def inherited():
        await asyncio.sleep(0)
        return current_project()

    async def main():
        async with tenant("outer"):
            found = await asyncio.gather(*(work(f"proj_{n}") for n in range(20)), inherited())
        return found, current_project()

    assert asyncio.run(main()) == ([[f"proj_{n}"] * 2 for n in range(20)] + ["outer"], None)


def test_threads_start_without_a_tenant_unless_they_are_given_the_context():
    async def main():
        async with tenant("proj_1"):
            return await asyncio.to_thread(current_project)

    found = []
    with tenant("proj_1"):
        thread = threading.Thread(target=lambda: found.append(current_project()))
        thread.start()
        thread.join()
    assert (found, asyncio.run(main())) == ([None], "proj_1")


def test_a_generator_closed_late_in_another_context_is_quiet():
    def rows():
        with tenant("proj_1"):
            yield current_project()

    generator = rows()
    assert contextvars.copy_context().run(next, generator) == "proj_1"
    generator.close()
    assert current_project() is None


def test_an_asynchronous_generator_closed_by_the_loop_is_quiet():
    async def rows():
        async with tenant("proj_1", propagate=True):
            yield current_project()
            yield None

    async def main():
        async for found in rows():
            return found
        return None

    assert asyncio.run(main()) == "proj_1"


@pytest.mark.parametrize("unusable", UNUSABLE, ids=lambda value: repr(value)[:20])
def test_an_unusable_project_is_unknown_and_never_raises(unusable, warnings_of):
    for _ in range(3):
        with tenant(unusable):
            assert current_project() == UNKNOWN
    (message,) = warnings_of()
    assert "is not a project_id" in message
    assert len(message) < 300


def test_the_warning_is_given_once_for_each_place(trusted, warnings_of):
    with tenant("two words"), tenant("three more words"):
        pass
    token = carrying(project_id="two words")
    current_project()
    current_project()
    context.detach(token)
    assert len(warnings_of()) == 2


# --- baggage ----------------------------------------------------------------------------------------------------------


def test_nothing_leaves_the_process_unasked():
    headers = {}
    with tenant("proj_1"):
        W3CBaggagePropagator().inject(headers)
    assert headers == {}


def test_the_project_leaves_where_it_is_asked_for_and_nothing_else():
    headers = {}
    with tenant("proj_1", propagate=True):
        W3CBaggagePropagator().inject(headers)
        with tenant("proj_2"):
            inner = {}
            W3CBaggagePropagator().inject(inner)
    assert headers == {"baggage": "project_id=proj_1"}
    assert baggage.get_all() == {}
    after = {}
    W3CBaggagePropagator().inject(after)
    assert after == {}


def test_an_inner_tenant_never_travels_as_the_outer_one():
    headers = {}
    with tenant("proj_1", propagate=True), tenant("proj_2"):
        W3CBaggagePropagator().inject(headers)
    assert "proj_1" not in headers.get("baggage", "")


def test_untrusted_baggage_is_ignored():
    token = carrying(project_id="proj_1")
    assert current_project() is None
    context.detach(token)


def test_trusted_baggage_is_read_and_a_tenant_set_here_wins(trusted):
    token = carrying(project_id="proj_1", plan="enterprise", tier="HOT")
    assert current_project() == "proj_1"
    with tenant("proj_2"):
        assert current_project() == "proj_2"
    context.detach(token)
    assert current_project() is None


@pytest.mark.parametrize(
    "unusable", [HUGE, "two words", "", 5, None.__class__, "x\0"], ids=lambda value: repr(value)[:20]
)
def test_trusted_but_malformed_baggage_is_unknown(trusted, unusable):
    token = carrying(project_id=unusable)
    assert current_project() == UNKNOWN
    context.detach(token)


# --- middleware -------------------------------------------------------------------------------------------------------


class Application:
    """An ASGI application that notes whom it works for."""

    def __init__(self, error=None):
        self.seen = []
        self.error = error

    async def __call__(self, scope, receive, send):
        await asyncio.sleep(0)
        self.seen.append((scope["type"], current_project()))
        if self.error is not None:
            raise self.error


def serve(middleware, **scope):
    asyncio.run(middleware({"type": "http", "headers": []} | scope, None, None))
    assert current_project() is None


@pytest.mark.parametrize(
    ("kind", "expected"), [("http", "proj_1"), ("websocket", "proj_1"), ("lifespan", None), ("other", None)]
)
def test_requests_are_attributed_and_lifespan_is_not(kind, expected):
    application = Application()
    serve(TenantMiddleware(application, lambda scope: "proj_1"), type=kind)
    assert application.seen == [(kind, expected)]


def test_a_request_that_names_nobody_is_nobodys():
    application = Application()
    serve(TenantMiddleware(application, lambda scope: None))
    assert application.seen == [("http", None)]


def test_a_failing_lookup_serves_the_request_all_the_same(lenient):
    application = Application()
    serve(TenantMiddleware(application, lambda scope: scope["user"].project))
    assert application.seen == [("http", None)]
    assert lenient == {"asking a request for its project": 1}


def test_the_applications_own_error_passes():
    with pytest.raises(LookupError):
        serve(TenantMiddleware(Application(LookupError("own")), lambda scope: "proj_1"))


@pytest.mark.parametrize("trust", [True, False])
def test_without_a_lookup_trusted_baggage_names_the_request(monkeypatch, trust):
    monkeypatch.setattr(tenant_module, "trust_baggage", trust)
    application = Application()
    serve(TenantMiddleware(application), headers=[(b"baggage", b"project_id=proj_1,plan=enterprise")])
    assert application.seen == [("http", "proj_1" if trust else None)]


@pytest.mark.parametrize("header", [b"\xff\xfe", b"project_id", b"project_id=" + b"x" * 100_000, b"=;=,,", b""])
def test_malformed_baggage_serves_the_request_all_the_same(trusted, header):
    application = Application()
    serve(TenantMiddleware(application), headers=[(b"baggage", header)])
    assert application.seen[0][1] in {None, UNKNOWN}


# --- the driver's own work --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [Mark, mark_connecting])
def test_a_marked_stretch_includes_the_tasks_that_it_starts_until_it_ends(begin):
    """The driver waits in tasks; what outlives its work (a listener, a transport) is not its work any more."""

    async def look(go):
        inside = is_internal()
        await go.wait()
        return inside, is_internal()

    async def main():
        go = asyncio.Event()
        mark = begin()
        found = [is_internal(), await asyncio.gather(asyncio.to_thread(is_internal))]
        task = asyncio.create_task(look(go))
        await asyncio.sleep(0)
        mark.end()
        go.set()
        return *found, is_internal(), await task

    assert asyncio.run(main()) == (True, [True], False, (True, False))


def test_nobodys_work_is_internal():
    with nobody():
        assert is_internal()
    assert not is_internal()


def test_marks_nest():
    outer = mark_internal()
    inner = mark_connecting()
    inner.end()
    assert is_internal()
    unmark(outer)
    assert not is_internal()


def test_connecting_forgets_the_tenant_and_remembers_it_afterwards():
    with tenant("proj_1"):
        mark = mark_connecting()
        inside = current_project()
        mark.end()
        assert (inside, current_project()) == (UNKNOWN, "proj_1")


def test_marks_ended_in_another_context_are_quiet():
    elsewhere = contextvars.copy_context()
    unmark(elsewhere.run(mark_internal))
    elsewhere.run(mark_connecting).end()
    assert not is_internal()

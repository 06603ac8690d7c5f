"""Around the rounds: what is saved, what is said, what /health answers, who sits out."""

import asyncio
import io
import json
import logging
from http import HTTPStatus

import pytest

from otel_dynabase.observer.health import Health, serve
from otel_dynabase.observer.progress import Lines, Progress
from otel_dynabase.observer.reign import Round
from otel_dynabase.observer.snapshot import Snapshot, UnusableStateError, read, write
from otel_dynabase.observer.troubles import Bench, Troubles

ROUND = Round(tenants=3, events=2, backlog=1, seconds=0.25, saved=True)

# --- the snapshot -----------------------------------------------------------------------------------------------------


def test_a_snapshot_comes_back_as_it_was():
    snapshot = Snapshot("id", {"tenant.io": [[["a"], 1, 2.5]]}, {"sequence": 7, "waiting": []}, [["ü"]], {"watch": {}})
    assert read(write(snapshot)) == snapshot


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("", "not a state"),
        ("[]", "not a state"),
        ("{}", "not a state"),
        ('{"format": 2}', "format 2, and this version reads format 1"),
        ('{"format": 1, "instance_id": "x", "surprise": 1}', "surprise"),
        ('{"format": 1}', "instance_id"),
    ],
)
def test_a_document_that_is_none_says_why(document, why):
    with pytest.raises(UnusableStateError, match=why):
        read(document)


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_trouble_is_said_once_when_it_begins_when_it_changes_and_when_it_is_over(caplog):
    caplog.set_level(logging.INFO)
    troubles = Troubles()
    for _ in range(3):
        troubles.failed("state", "disk full", "Measuring goes on.")
    troubles.failed("state", "read-only", "Measuring goes on.")
    troubles.failed("directory", "away")
    for _ in range(2):
        troubles.worked("state")
        troubles.worked("directory")
    assert caplog.messages == [
        "state: disk full. Measuring goes on.",
        "state: read-only. Measuring goes on.",
        "state: works again.",
    ]
    assert (troubles.counts, troubles.present) == ({"state": 4, "directory": 1}, {})


def test_a_part_sits_out_twice_as_many_rounds_each_time():
    bench, sat = Bench(), []
    for _ in range(9):
        bench.put("usage")
        sat.append(0)
        while "usage" in bench:
            bench.played()
            sat[-1] += 1
    assert sat == [1, 2, 4, 8, 16, 32, 64, 64, 64]
    assert "watch" not in bench


# --- what it says -----------------------------------------------------------------------------------------------------


def test_a_line_is_said_for_what_is_new(caplog):
    caplog.set_level(logging.INFO)
    progress = Progress()
    quiet = Round(tenants=1200, events=0, backlog=0, seconds=1.04, saved=True)
    for done in (quiet, quiet, ROUND, quiet, Round(1200, 0, 0, 1, saved=True, failures={"usage": "why"})):
        progress.told(done)
    assert caplog.messages == [
        "1,200 tenants, 0 events, 1.0 s",
        "3 tenants, 2 events, 0.2 s; 1 on the way",
        "1,200 tenants, 0 events, 1.0 s",
        "1,200 tenants, 0 events, 1.0 s; without usage",
    ]


def test_as_json_each_round_is_a_line(capsys):
    progress = Progress(as_json=True)
    progress.told(ROUND)
    progress.told(ROUND)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"tenants": 3, "events": 2, "backlog": 1, "seconds": 0.25, "saved": True, "failures": {}}] * 2


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "no_color", "coloured"), [(Terminal, "", True), (Terminal, "1", False), (io.StringIO, "", False)]
)
def test_colours_are_for_terminals(stream, no_color, coloured, monkeypatch):
    monkeypatch.setenv("NO_COLOR", no_color)
    record = logging.LogRecord("otel_dynabase", logging.WARNING, "", 0, "careful", (), None)
    assert ("\033[" in Lines(stream()).format(record)) is coloured


# --- health -----------------------------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return Health(10.0, Troubles(), clock)


def test_health_over_a_life(health, clock):
    said = []

    def look(later=0.0):
        clock.now += later
        status, report = health.report()
        said.append((status.value, report["status"], report["role"]))
        return report

    look()
    health.became("standby")
    look(1000)
    health.became("active")
    look()
    health.finished(ROUND)
    report = look(59)
    assert (report["round_age_seconds"], report["round_seconds"], report["backlog"]) == (59, 0.25, 1)
    look(2)
    health.finished(ROUND)
    look()
    health.became("standby")
    look(1000)
    assert said == [
        (503, "starting", "starting"), (200, "ok", "standby"), (503, "starting", "active"), (200, "ok", "active"),
        (503, "stale", "active"), (200, "ok", "active"), (200, "ok", "standby"),
    ]  # fmt: skip


def test_what_does_not_work_is_in_it(health):
    health.troubles.failed("usage", "no route", "")
    _, report = health.report()
    assert (report["failing"], report["failures"]) == ({"usage": "no route"}, {"usage": 1})


@pytest.mark.parametrize(
    ("request_", "status", "has_body"),
    [
        (b"GET /health HTTP/1.1\r\n\r\n", HTTPStatus.OK, True),
        (b"GET /health?full HTTP/1.0\r\nHost: x\r\n\r\n", HTTPStatus.OK, True),
        (b"HEAD /health HTTP/1.1\r\n\r\n", HTTPStatus.OK, False),
        (b"POST /health HTTP/1.1\r\n\r\n", HTTPStatus.METHOD_NOT_ALLOWED, True),
        (b"GET / HTTP/1.1\r\n\r\n", HTTPStatus.NOT_FOUND, True),
    ],
)
def test_it_is_asked_over_http(health, request_, status, has_body):
    health.became("standby")
    head, body = asyncio.run(asked(health, request_))
    assert head.split(b"\r\n")[0].split()[1] == str(status.value).encode()
    assert (json.loads(body) if has_body else body) is not None
    assert (body == b"") is not has_body


@pytest.mark.parametrize("request_", [b"\r\n\r\n", b"x" * 20_000, b"GET /health"])
def test_nonsense_gets_no_answer_and_does_no_harm(health, request_):
    assert asyncio.run(asked(health, request_)) == (b"", b"")


async def asked(health, request):
    server = await serve(health, ("127.0.0.1", 0))
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        writer.write(request)
        writer.write_eof()
        try:
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        except ConnectionResetError:
            head = body = b""
        return head, body
    finally:
        writer.close()
        server.close()


def test_an_address_that_is_taken_is_said(health, warnings_of):
    async def twice():
        server = await serve(health, ("127.0.0.1", 0))
        second = await serve(health, server.sockets[0].getsockname())
        server.close()
        return second

    assert asyncio.run(twice()) is None
    assert "/health is not answered: " in warnings_of()[0]

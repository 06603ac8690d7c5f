"""Memory of a project's backends, as the machine says that they run on."""

import os
import subprocess
import sys

from otel_dynabase.catalog.metrics import MEMORY_USAGE
from otel_dynabase.observer import host
from tests.integration.observe.observed import shared

ALLOCATE = "DECLARE held CURSOR FOR SELECT md5(n::text) FROM generate_series(1, 400000) n ORDER BY 1"
"""Sorts some 30 MB in memory, and keeps them."""


def work_mem(observed):
    return {key[0]: value for metric, key, value in observed.part.observe() if metric is MEMORY_USAGE}


async def test_what_a_projects_backends_allocate_is_shown_as_long_as_they_are_there(pg, database):
    observed = shared(pg, database)
    await observed.round()
    assert work_mem(observed) == {database.name: 0}
    async with database.client() as client:
        await observed.round()
        before = work_mem(observed)[database.name]
        assert 200_000 < before < 20_000_000
        await client.run(1, "SET work_mem = '100MB'")
        await client.run(1, "BEGIN")
        await client.run(1, ALLOCATE)
        await client.run(1, "FETCH 1 FROM held")
        await observed.round()
        assert work_mem(observed)[database.name] > before + 20_000_000
    await observed.round()
    assert work_mem(observed) == {database.name: 0}


def test_a_process_that_is_no_backend_of_the_connection_is_not_taken_for_it(pg):
    backend = int(pg.execute("SELECT pg_backend_pid()"))
    assert not host.is_here(backend, 1), "it has ended"
    assert not host.is_here(os.getpid(), None)
    pretender = subprocess.Popen([sys.executable, "-c", "input()", "postgres: (5)"], stdin=subprocess.PIPE)
    try:
        assert not host.is_here(pretender.pid, 5)
    finally:
        pretender.communicate(b"\n")


def test_a_backend_that_has_ended_has_no_memory():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert host.private_memory([ended.pid]) == 0

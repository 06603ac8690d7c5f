"""The background thread: jobs run when they are due or woken, one that fails stops no other, and a fork starts anew."""

import math
import threading
import time

import pytest

from otel_dynabase.background import Background

SOON = 10.0
"""Seconds within which something must happen."""


@pytest.fixture
def start():
    made = []

    def make(**jobs):
        made.append(Background(jobs, prompt="prompt"))
        made[-1].start()
        return made[-1]

    yield make
    for background in made:
        background.stop(SOON)


class Job:
    """Counts its runs; `after` is what it returns."""

    def __init__(self, after=math.inf):
        self.after = after
        self.runs = 0
        self._ran = threading.Condition()

    def __call__(self):
        with self._ran:
            self.runs += 1
            self._ran.notify_all()
        return self.after() if callable(self.after) else self.after

    def has_run(self, times):
        with self._ran:
            return self._ran.wait_for(lambda: self.runs >= times, SOON)


def test_every_job_runs_at_once_and_again_when_it_is_due(start):
    once, often = Job(), Job(0.001)
    start(once=once, often=often)
    assert once.has_run(1)
    assert often.has_run(20)
    assert once.runs == 1


def test_waking_runs_the_prompt_job_and_no_other(start):
    prompt, sleeping, dated = Job(3600), Job(), Job(3600)
    background = start(prompt=prompt, sleeping=sleeping, dated=dated)
    assert dated.has_run(1)
    for times in (2, 3):
        background.wake()
        assert prompt.has_run(times)
    assert (sleeping.runs, dated.runs) == (1, 1)


def test_no_wake_is_lost_while_a_job_runs(start):
    """A wake in the middle of a job asks for another run of it."""
    inside, go = threading.Event(), threading.Event()

    def slow():
        if job.runs == 1:
            inside.set()
            go.wait(SOON)
        return math.inf

    job = Job(slow)
    background = start(prompt=job)
    assert inside.wait(SOON)
    background.wake()
    go.set()
    assert job.has_run(2)


def test_a_job_that_fails_is_counted_tried_again_and_stops_no_other(start, lenient):
    def fail():
        raise LookupError

    failing, other = Job(fail), Job(0.001)
    start(failing=failing, other=other)
    assert other.has_run(10)
    assert failing.has_run(1)
    end = time.monotonic() + SOON
    while "failing" not in lenient and time.monotonic() < end:
        time.sleep(0.001)
    assert lenient["failing"] == 1


def test_stopping_ends_the_thread_and_waits_no_longer_than_allowed(start):
    go, inside = threading.Event(), threading.Event()

    def stuck():
        inside.set()
        go.wait(SOON)
        return math.inf

    background = start(stuck=stuck)
    assert inside.wait(SOON)
    began = time.monotonic()
    background.stop(0.01)
    assert time.monotonic() - began < SOON / 2
    go.set()


def test_stopping_what_never_started_is_nothing():
    Background({}).stop(0.1)


def test_the_thread_is_a_daemon_and_has_a_name(start):
    background = start(job=Job())
    (thread,) = [thread for thread in threading.enumerate() if thread is background._thread]
    assert (thread.daemon, thread.name) == (True, "otel-dynabase")


def test_with_nothing_due_it_sleeps(start):
    background = start(prompt=Job())
    background.wake()
    assert background._thread.is_alive()


@pytest.mark.parametrize("started", [True, False])
def test_after_a_fork_it_runs_again_only_if_it_ran(start, started):
    job = Job()
    background = Background({"prompt": job}, prompt="prompt")
    if started:
        background.start()
        assert job.has_run(1)
        background.stop(SOON)
        background._thread, background._stopped = threading.Thread(), False  # what a child finds: no thread behind it
    background.after_fork()
    background.wake()
    assert job.has_run(2) if started else job.runs == 0
    background.stop(SOON)

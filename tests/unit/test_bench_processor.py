"""The figures of `make bench-processor`: of the same round, the worst of all sizes, not of a lucky one."""

from __future__ import annotations

import pytest

from benchmarks.processor import METRICSTRANSFORM, OURS, TENANTS, TRANSFORM, Runs, figures, show


def printed(ours, memory=200.0):
    """Return what a process prints: as many rounds as times of ours; the others take 4 and 6 times as long."""
    rounds = [{"ns": {OURS: ns, METRICSTRANSFORM: 4 * ns, TRANSFORM: 6 * ns}} for ns in ours]
    return [*rounds, {"bytes_per_stream": memory, "flush_ms": 1.5}]


@pytest.fixture
def found():
    """Return 500 ns a point, 800 with most tenants, and a machine that is half as fast in the second repetition."""
    found = {tenants: Runs() for tenants in TENANTS}
    for slow in (1, 2, 1):
        for tenants, runs in found.items():
            ns = 800.0 if tenants == TENANTS[-1] else 500.0
            runs.add(printed([ns * slow, ns * slow, 10 * ns * slow], memory=tenants / 5000))
    return found


def test_the_figures_are_the_worst_of_all_sizes(found):
    got = figures(found)
    assert got["points_per_s"] == pytest.approx(1e9 / 1600)  # the middle one of nine rounds
    assert got["vs_metricstransform"] == 4.0
    assert got["vs_transform"] == 6.0
    assert got["bytes_per_stream"] == 200.0


def test_flatness_compares_what_was_measured_at_the_same_time(found):
    assert figures(found)["flatness_1k_to_1m"] == pytest.approx(1.6)


def test_a_table_has_a_row_for_each_size(found, capsys):
    show(found)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["1,000", "100,000", "1,000,000"]
    assert lines[2].split()[4:6] == ["4.0", "6.0"]

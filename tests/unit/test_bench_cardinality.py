"""The benchmark's oracle: whatever may be wrong with the samples, it says so."""

import random

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from benchmarks.cardinality.load import Key, Process, Truth, population
from benchmarks.cardinality.samples import Reading, Series
from otel_dynabase.catalog.metrics import LIMIT_HITS, QUERIES, QUERY_DURATION

OK = Key("db_queries_total", "pro", "HOT", "ok")


def series(*samples, project="a"):
    labels = {"__name__": OK.name, "plan": OK.plan, "tier": OK.tier, "status": OK.detail, "project_id": project}
    return Series(labels, list(samples))


def test_increases_add_up_over_lives_and_tenants():
    named = series((1, 0), (2, 3), (3, 5), (4, None), (7, 0), (8, 2))
    reading = Reading([named, series((1, 0), (8, 10), project="_other")])
    assert reading.total(OK) == 17
    assert reading.lives == 3
    assert (reading.negative_steps, reading.born_above_zero) == (0, 0)


def test_a_life_that_falls_is_noticed_and_to_zero_too():
    assert Reading([series((1, 0), (2, 5), (3, 4))]).negative_steps == 1
    assert Reading([series((1, 0), (2, 5), (3, 0), (4, 1))]).negative_steps == 1
    assert Reading([series((1, 0), (2, 5), (3, None), (4, 0), (5, 1))]).negative_steps == 0


def test_a_life_that_begins_above_zero_is_noticed():
    assert Reading([series((1, 2), (2, 5))]).born_above_zero == 1
    assert Reading([series((1, 0), (2, 5), (3, None), (4, 5))]).born_above_zero == 1


def test_what_comes_before_it_was_sent_is_a_spike():
    reading = Reading([series((10, 0), (20, 5), (30, 6))])
    assert reading.ahead(OK, [(12, 5), (25, 1)]) == 0
    assert reading.ahead(OK, [(12, 4), (25, 2)]) == 1
    assert reading.ahead(OK, []) == 2


@pytest.mark.parametrize("delta", [False, True])
def test_what_a_process_sends_is_what_the_truth_says(delta):
    truth = Truth()
    process = Process(population(200), truth, random.Random(3), delta=delta)
    sent = []
    for shift in range(3):
        process.run(500, shift)
        sent.append(decoded(process.export()))
    totals = {name: sum(each[name] for each in sent) if delta else sent[-1][name] for name in sent[-1]}
    named = {name: sum(value for key, value in truth.total.items() if key.name == name) for name in totals}
    assert totals == named
    assert totals[QUERIES.prometheus] == 1500


def decoded(request):
    """Add up a request's points, by the names that Prometheus gives them."""
    message = ExportMetricsServiceRequest.FromString(request)
    metrics = {metric.name: metric for metric in message.resource_metrics[0].scope_metrics[0].metrics}
    points = metrics[QUERY_DURATION.name].histogram.data_points
    buckets = [sum(point.bucket_counts[: edge + 1]) for point in points for edge in range(len(point.bucket_counts))]
    return {
        QUERIES.prometheus: sum(point.as_int for point in metrics[QUERIES.name].sum.data_points),
        LIMIT_HITS.prometheus: sum(point.as_int for point in metrics[LIMIT_HITS.name].sum.data_points),
        f"{QUERY_DURATION.prometheus}_count": sum(point.count for point in points),
        f"{QUERY_DURATION.prometheus}_sum": sum(point.sum for point in points),
        f"{QUERY_DURATION.prometheus}_bucket": sum(buckets),
    }


def test_the_heaviest_are_others_at_each_shift():
    def heaviest(shift):
        truth = Truth()
        process = Process({"pro": population(1000)["pro"]}, truth, random.Random(1), delta=False)
        process.run(2000, shift)
        work = sorted(process._work.values(), key=lambda done: -done.statements)
        return {done.tenant.project for done in work[:5]}

    assert not heaviest(0) & heaviest(1)

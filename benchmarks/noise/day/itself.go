package main

import (
	"fmt"
	"slices"
)

// The catalogue's names of what the instrumentation says of itself.
const (
	selfEvents  = "otel_dynabase.events"
	selfReports = "otel_dynabase.reports"
	selfRounds  = "otel_dynabase.observer.rounds"
)

// processes is how many run the applications.
const processes = 12

// The collector's own names, which no catalogue of ours has: those of v0.161, with the settings of otelcol-config.yaml.
const (
	queueSize  = "otelcol_exporter_queue_size"
	received   = "otelcol_processor_tenant_cardinality_points"
	kept       = "otelcol_processor_tenant_cardinality_series"
	keptLimit  = "otelcol_processor_tenant_cardinality_series_limit"
	heard      = "otelcol_processor_tenant_cardinality_streams"
	heardLimit = "otelcol_processor_tenant_cardinality_stream_limit"
	filtered   = "otelcol_processor_filter_datapoints_filtered"
)

// losses are counters that stay at 0 on this day, because nothing is lost.
var losses = []string{
	"otelcol_receiver_refused_metric_points", "otelcol_receiver_refused_log_records", "otelcol_receiver_refused_spans",
	"otelcol_receiver_failed_metric_points", "otelcol_receiver_failed_log_records", "otelcol_receiver_failed_spans",
	"otelcol_exporter_send_failed_metric_points", "otelcol_exporter_send_failed_log_records",
	"otelcol_exporter_send_failed_spans", "otelcol_exporter_enqueue_failed_metric_points",
	"otelcol_exporter_enqueue_failed_log_records", "otelcol_exporter_enqueue_failed_spans",
	"otelcol_processor_tenant_cardinality_events",
}

// collectorNames are all of them.
var collectorNames = append([]string{"up", queueSize, received, kept, keptLimit, heard, heardLimit, filtered}, losses...)

// itself is the processes that send telemetry and handle it, and what they say of themselves.
type itself struct {
	fleet   *fleet
	lives   map[string]int // of each process
	waiting float64        // bytes for ClickHouse
}

// step lets the processes work from one export to the next, and says whether the collector exports.
func (i *itself) step(second float64) (exports bool) {
	for n := range processes {
		instance := i.process("orders", n, "applications", second)
		emitted := i.fleet.chance.events(2)
		i.grow(key{metric: selfEvents, instance: instance, first: "emitted"}, emitted)
		i.grow(key{metric: selfEvents, instance: instance, first: "acknowledged"}, emitted)
		i.grow(key{metric: selfEvents, instance: instance, first: "dropped"}, 0)
		i.grow(key{metric: selfReports, instance: instance, first: "cache_access", second: "accepted"},
			i.fleet.chance.events(50))
	}
	if int(second)%30 == 0 && !i.happens("observer", second) {
		i.grow(key{metric: selfRounds, instance: i.process("observer", 0, "observer", second), first: "complete"}, 1)
	}
	return i.collector(second)
}

// process returns a process' instance; each restarts in its turn while they are restarted, and its counters with it.
func (i *itself) process(name string, n int, which string, second float64) string {
	process := fmt.Sprintf("%s-%d", name, n)
	for _, o := range i.fleet.happening {
		turn := o.begins + o.Lasts*float64(n)/processes
		if o.Restart == which && turn <= second && second < turn+i.fleet.day.Export {
			i.fleet.book.end(fmt.Sprintf("%s-%d", process, i.lives[process]))
			i.lives[process]++
		}
	}
	return fmt.Sprintf("%s-%d", process, i.lives[process])
}

func (i *itself) happens(restart string, second float64) bool {
	return slices.ContainsFunc(i.fleet.happening, func(o occurrence) bool { return o.Restart == restart && o.at(second) })
}

func (i *itself) grow(k key, n float64) { i.fleet.book.of(k).value += n }

// collector is its own metrics, as Prometheus scrapes them. When it restarts one scrape fails, one export is missing, and
// they begin anew.
func (i *itself) collector(second float64) (exports bool) {
	b := i.fleet.book
	if i.happens("collector", second) {
		b.end("collector")
		return false
	}
	i.waiting += 3000 * i.fleet.day.Export
	if !slices.ContainsFunc(i.fleet.happening, func(o occurrence) bool { return o.Store == "away" && o.at(second) }) {
		i.waiting = float64(i.fleet.chance.below(2) * 2000)
	}
	for _, name := range losses {
		b.own(name)
	}
	b.own(received, "outcome", "refused")
	b.own(received, "outcome", "accepted").value += 40_000
	b.own(filtered, "filter", "filter/unknown_metrics").value += 200 // applications' other metrics: that is no loss
	b.own(queueSize, "exporter", "clickhouse").value = i.waiting
	b.own(queueSize, "exporter", "otlp_http/prometheus").value = float64(i.fleet.chance.below(2) * 50_000)
	b.own(kept).value, b.own(keptLimit).value = 40_000, 200_000
	b.own(heard).value, b.own(heardLimit).value = 90_000, 500_000
	return true
}

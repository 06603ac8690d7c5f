package tenantcardinalityprocessor

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/core"
)

const (
	meterName    = "github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor"
	metricPrefix = "otelcol_processor_tenant_cardinality_"
)

// telemetry is the processor's own metrics, as metadata.yaml has them.
type telemetry struct {
	registration metric.Registration

	flushDuration      metric.Float64Histogram
	failedSends        metric.Int64Counter
	checkpointDuration metric.Float64Histogram
	checkpointBytes    metric.Int64Counter
	failedCheckpoints  metric.Int64Counter
	discardedStates    metric.Int64Counter
	events             metric.Int64Counter
}

// newTelemetry observes what stats returns, whenever somebody collects, until shutdown.
func newTelemetry(set component.TelemetrySettings, stats func() core.Stats) (*telemetry, error) {
	meter := set.MeterProvider.Meter(meterName)
	t := &telemetry{}
	errs := []error{observe(meter, t, stats)}
	for _, of := range []struct {
		into                    *metric.Int64Counter
		name, unit, description string
	}{
		{&t.failedSends, "failed_sends", "{flush}",
			"Flushes that the next component did not take; the next flush carries their sums."},
		{&t.checkpointBytes, "checkpoint_bytes", "By", "Bytes of state written to the storage extension."},
		{&t.failedCheckpoints, "failed_checkpoints", "{checkpoint}",
			"Checkpoints that the storage extension did not take; the next one carries them."},
		{&t.discardedStates, "discarded_states", "{state}",
			"Stored states that could not be taken over: corrupt, or of another version."},
		{&t.events, "events", "{event}",
			"Events of tenants that gained or lost series of their own by ranking, by what became of them."},
	} {
		counter, err := meter.Int64Counter(metricPrefix+of.name, metric.WithUnit(of.unit), metric.WithDescription(of.description))
		*of.into, errs = counter, append(errs, err)
	}
	for _, of := range []struct {
		into              *metric.Float64Histogram
		name, description string
	}{
		{&t.flushDuration, "flush_duration", "Time that a flush took, its checkpoint and the next component included."},
		{&t.checkpointDuration, "checkpoint_duration", "Time that a checkpoint took."},
	} {
		histogram, err := meter.Float64Histogram(metricPrefix+of.name, metric.WithUnit("s"), metric.WithDescription(of.description),
			metric.WithExplicitBucketBoundaries(.001, .005, .01, .05, .1, .5, 1, 5, 10))
		*of.into, errs = histogram, append(errs, err)
	}
	return t, errors.Join(errs...)
}

func (t *telemetry) flushed(ctx context.Context, took time.Duration) {
	t.flushDuration.Record(ctx, took.Seconds())
}

func (t *telemetry) sendFailed(ctx context.Context) { t.failedSends.Add(ctx, 1) }

func (t *telemetry) checkpointed(ctx context.Context, took time.Duration, bytes int, err error) {
	if err != nil {
		t.failedCheckpoints.Add(ctx, 1)
		return
	}
	t.checkpointDuration.Record(ctx, took.Seconds())
	t.checkpointBytes.Add(ctx, int64(bytes))
}

func (t *telemetry) stateDiscarded(ctx context.Context) { t.discardedStates.Add(ctx, 1) }

// emitted counts events. Those that wait are counted when it is known what became of them.
func (t *telemetry) emitted(ctx context.Context, outcomes eventOutcomes) {
	for outcome, count := range map[string]int{
		"sent": outcomes.sent, "dropped": outcomes.dropped, "unasked": outcomes.unasked,
	} {
		if count > 0 {
			t.events.Add(ctx, int64(count), metric.WithAttributes(attribute.String("outcome", outcome)))
		}
	}
}

func (t *telemetry) shutdown() error { return t.registration.Unregister() }

// observable is a metric that the core keeps: a count since the state began, or what there is now.
type observable struct {
	name, unit, description string
	counts                  bool
	read                    func(core.Stats, observer)
}

type observer func(value int64, attributes ...attribute.KeyValue)

func one[N int | uint64](field func(core.Stats) N) func(core.Stats, observer) {
	return func(stats core.Stats, observe observer) { observe(int64(field(stats))) }
}

func byPlan(field func(core.PlanStats) int) func(core.Stats, observer) {
	return func(stats core.Stats, observe observer) {
		for _, plan := range stats.Plans {
			observe(int64(field(plan)), attribute.String("plan", plan.Plan))
		}
	}
}

func byOutcome(stats core.Stats, observe observer) {
	for outcome, points := range stats.Points {
		observe(int64(points), attribute.String("outcome", core.Outcome(outcome).String()))
	}
}

var observables = []observable{
	{"points", "{datapoint}", "Points received, by what became of them.", true, byOutcome},
	{"untracked_points", "{datapoint}", "Delta points counted although max_streams was reached: duplicates among them " +
		"were not seen.", true, one(func(s core.Stats) uint64 { return s.Streamless })},
	{"squeezed_points", "{datapoint}", "Points of named tenants that were folded because max_series was reached.",
		true, one(func(s core.Stats) uint64 { return s.Squeezed })},
	{"overflow_points", "{datapoint}", "Points that kept only plan and tier, in a series with otel.metric.overflow, " +
		"because max_series was reached.", true, one(func(s core.Stats) uint64 { return s.Overflow })},
	{"trimmed_points", "{datapoint}", "Points with attributes that their series do not keep: see attributes.",
		true, one(func(s core.Stats) uint64 { return s.Trimmed })},
	{"streams", "{stream}", "Input streams remembered.", false, one(func(s core.Stats) int { return s.Streams })},
	{"stream_limit", "{stream}", "Input streams that may be remembered: max_streams.", false,
		one(func(s core.Stats) int { return s.StreamLimit })},
	{"resources", "{resource}", "Processes, by their resource, whose streams are remembered.", false,
		one(func(s core.Stats) int { return s.Resources })},
	{"series", "{series}", "Output series that live, as Prometheus counts them.", false,
		one(func(s core.Stats) int { return s.Series })},
	{"series_limit", "{series}", "Output series that may live: max_series.", false,
		one(func(s core.Stats) int { return s.SeriesLimit })},
	{"named_tenants", "{tenant}", "Tenants with series of their own.", false,
		byPlan(func(p core.PlanStats) int { return p.Named })},
	{"folded_tenants", "{tenant}", "Tenants that share the series of the others.", false,
		byPlan(func(p core.PlanStats) int { return p.Folded })},
	{"promotions", "{tenant}", "Tenants that gained series of their own by ranking.", true,
		one(func(s core.Stats) uint64 { return s.Promotions })},
	{"demotions", "{tenant}", "Tenants that lost their series by ranking.", true,
		one(func(s core.Stats) uint64 { return s.Demotions })},
	{"rebucketed_series", "{series}", "Histograms that began anew because points had other bounds.", true,
		one(func(s core.Stats) uint64 { return s.Rebucketed })},
	{"untold_ends", "{series}", "Ends of series that nobody took for an hour, after which Prometheus would refuse them.",
		true, one(func(s core.Stats) uint64 { return s.Untold })},
	{"conflicting_metrics", "{metric}", "Metrics that share their name with one of another kind or unit.", true,
		one(func(s core.Stats) uint64 { return s.Conflicts })},
}

// observe makes an instrument of every observable, and one callback for all of them: they are of one moment.
func observe(meter metric.Meter, t *telemetry, stats func() core.Stats) (err error) {
	instruments := make([]metric.Int64Observable, len(observables))
	for i, of := range observables {
		unit, description := metric.WithUnit(of.unit), metric.WithDescription(of.description)
		if of.counts {
			instruments[i], err = meter.Int64ObservableCounter(metricPrefix+of.name, unit, description)
		} else {
			instruments[i], err = meter.Int64ObservableGauge(metricPrefix+of.name, unit, description)
		}
		if err != nil {
			return err
		}
	}
	all := make([]metric.Observable, len(instruments))
	for i, instrument := range instruments {
		all[i] = instrument
	}
	t.registration, err = meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		now := stats()
		for i, of := range observables {
			of.read(now, func(value int64, attributes ...attribute.KeyValue) {
				to.ObserveInt64(instruments[i], value, metric.WithAttributes(attributes...))
			})
		}
		return nil
	}, all...)
	return err
}

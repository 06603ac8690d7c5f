package tenantcardinalityprocessor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// downstream is what a Prometheus makes of the outputs: it computes the increase of every series as Prometheus does with
// start times and zero points, and collects every fault that Prometheus would refuse, or show as a spike or a gap.
type downstream struct {
	series   map[string]*series
	faults   []error
	flush    int64 // time of the last flush in ms
	previous int64 // of the one before
	again    int   // samples that had arrived before
}

// series is one of Prometheus', in its present life or after its last.
type series struct {
	group  group
	tenant string
	size   int // in series as Prometheus counts them
	alive  bool
	start  pcommon.Timestamp
	at     int64   // ms, of the last sample
	last   amounts // of this life
	ended  amounts // of all lives before
	seen   map[int64]string
}

func newDownstream() *downstream { return &downstream{series: map[string]*series{}} }

func (*downstream) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// ConsumeMetrics takes what the processor sends.
func (d *downstream) ConsumeMetrics(_ context.Context, metrics pmetric.Metrics) error {
	for _, resource := range metrics.ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			for _, metric := range scope.Metrics().All() {
				d.metric(written(resource.Resource().Attributes())+scope.Scope().Name(), metric)
			}
		}
	}
	return nil
}

// written writes attributes in the order of their keys.
func written(attributes pcommon.Map) string {
	var pairs []string
	for key, value := range attributes.All() {
		pairs = append(pairs, key+"="+value.AsString())
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

// sampled is a point of the outputs.
type sampled interface {
	Attributes() pcommon.Map
	StartTimestamp() pcommon.Timestamp
	Timestamp() pcommon.Timestamp
	Flags() pmetric.DataPointFlags
}

func (d *downstream) metric(prefix string, metric pmetric.Metric) {
	switch metric.Type() {
	case pmetric.MetricTypeSum:
		d.cumulative(metric, metric.Sum().AggregationTemporality())
		if !metric.Sum().IsMonotonic() {
			d.fault("%s: is not monotonic", metric.Name())
		}
		for _, p := range metric.Sum().DataPoints().All() {
			value := p.DoubleValue()
			if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
				value = float64(p.IntValue())
			}
			d.sample(prefix, metric.Name(), p, amounts{value}, 1)
		}
	case pmetric.MetricTypeHistogram:
		d.cumulative(metric, metric.Histogram().AggregationTemporality())
		for _, p := range metric.Histogram().DataPoints().All() {
			d.sample(prefix, metric.Name(), p, d.explicit(metric.Name(), p), p.ExplicitBounds().Len()+3)
		}
	case pmetric.MetricTypeExponentialHistogram:
		d.cumulative(metric, metric.ExponentialHistogram().AggregationTemporality())
		for _, p := range metric.ExponentialHistogram().DataPoints().All() {
			d.sample(prefix, metric.Name(), p, d.exponential(p), 1)
		}
	case pmetric.MetricTypeGauge:
		if metric.Name() != "tenants.affected" {
			d.fault("%s: is a gauge", metric.Name())
		}
	default:
		d.fault("%s: is of type %s", metric.Name(), metric.Type())
	}
}

func (d *downstream) cumulative(metric pmetric.Metric, temporality pmetric.AggregationTemporality) {
	if temporality != pmetric.AggregationTemporalityCumulative {
		d.fault("%s: is %s", metric.Name(), temporality)
	}
}

// explicit returns count, sum and buckets; only count and sum of what has one life after another with other bounds.
func (d *downstream) explicit(name string, p pmetric.HistogramDataPoint) amounts {
	mixed := name == "db.wait"
	if !mixed && !slices.Equal(p.ExplicitBounds().AsRaw(), bounds) {
		d.fault("bounds %v", p.ExplicitBounds().AsRaw())
	}
	counted, buckets := amounts{float64(p.Count()), p.Sum()}, uint64(0)
	for _, count := range p.BucketCounts().All() {
		counted = append(counted, float64(count))
		buckets += count
	}
	if buckets != p.Count() || p.BucketCounts().Len() != p.ExplicitBounds().Len()+1 {
		d.fault("a count of %d in buckets %v", p.Count(), p.BucketCounts().AsRaw())
	}
	if mixed {
		return counted[:2]
	}
	return counted
}

// exponential returns count, sum, zeros and buckets at scale 0.
func (d *downstream) exponential(p pmetric.ExponentialHistogramDataPoint) amounts {
	counted := make(amounts, 3+fineBuckets>>fineScale)
	counted[0], counted[1], counted[2] = float64(p.Count()), p.Sum(), float64(p.ZeroCount())
	buckets := p.ZeroCount()
	for i, count := range p.Positive().BucketCounts().All() {
		bucket := (int(p.Positive().Offset()) + i) >> max(p.Scale(), 0)
		if count > 0 && (p.Scale() < 0 || bucket < 0 || bucket >= len(counted)-3) {
			d.fault("%d in bucket %d of scale %d", count, int(p.Positive().Offset())+i, p.Scale())
			continue
		}
		if count > 0 {
			counted[3+bucket] += float64(count)
		}
		buckets += count
	}
	if buckets != p.Count() {
		d.fault("a count of %d, but %d in buckets", p.Count(), buckets)
	}
	return counted
}

func (d *downstream) fault(format string, arguments ...any) {
	d.faults = append(d.faults, fmt.Errorf(format, arguments...))
}

func (d *downstream) sample(prefix, name string, p sampled, counted amounts, size int) {
	id := prefix + name + "{" + written(p.Attributes()) + "}"
	get := func(key string) string {
		if value, has := p.Attributes().Get(key); has {
			return value.Str()
		}
		return ""
	}
	s, known := d.series[id]
	if !known {
		s = &series{
			group:  group{name, get("plan"), get("tier"), get("status")},
			tenant: get("project_id"), at: -1, seen: map[int64]string{},
		}
		d.series[id] = s
	}
	at := p.Timestamp().AsTime().UnixMilli()
	says := fmt.Sprint(p.StartTimestamp(), p.Flags(), counted)
	if s.seen[at] == says { // sent again, because whoever sent it does not know that it arrived
		d.again++
		return
	}
	s.seen[at] = says
	if at <= s.at {
		d.fault("%s: a sample at %d after one at %d", id, at, s.at)
	}
	if p.StartTimestamp() > p.Timestamp() {
		d.fault("%s: starts at %d, after its time %d", id, p.StartTimestamp(), p.Timestamp())
	}
	s.size = size
	if !p.Flags().NoRecordedValue() { // the marker of one that ends may be just after its last value
		d.flush = max(d.flush, at)
	}
	switch {
	case p.Flags().NoRecordedValue():
		if !s.alive {
			d.fault("%s: ended twice", id)
		}
		s.end()
	case !s.alive || s.start != p.StartTimestamp():
		d.born(id, s, p, counted)
	default:
		d.goesOn(id, s, counted)
	}
	s.at = at
}

func (s *series) end() {
	s.ended.add(s.last)
	s.alive, s.last = false, nil
}

// born checks a series' first sample: 0, at or after its start, later than all that came before.
func (d *downstream) born(id string, s *series, p sampled, counted amounts) {
	s.end()
	at := p.Timestamp().AsTime().UnixMilli()
	if !counted.zero() {
		d.fault("%s: is born at %v, not 0", id, counted)
	}
	if p.StartTimestamp() == 0 || p.StartTimestamp().AsTime().UnixMilli() < s.at {
		d.fault("%s: starts at %d, its last life ended at %d ms", id, p.StartTimestamp(), s.at)
	}
	if at < d.previous {
		d.fault("%s: is born at %d, before the last flush at %d", id, at, d.previous)
	}
	s.alive, s.start, s.last = true, p.StartTimestamp(), counted
}

func (d *downstream) goesOn(id string, s *series, counted amounts) {
	for i := range counted {
		if counted[i] < s.last[i] {
			d.fault("%s: falls from %v to %v", id, s.last, counted)
		}
	}
	s.last = counted
}

// flushed checks what has to be true after each flush, at this time or never again: no gap, no more than the budgets.
func (d *downstream) flushed(config *Config) {
	count, named := 0, map[string]map[string]bool{}
	for id, s := range d.series {
		if !s.alive {
			continue
		}
		if s.at != d.flush {
			d.fault("%s: has no sample at %d, the last one is at %d", id, d.flush, s.at)
		}
		count += s.size
		if named[s.group.plan] == nil {
			named[s.group.plan] = map[string]bool{}
		}
		if s.tenant != "" && s.tenant != config.Other {
			named[s.group.plan][s.tenant] = true
		}
	}
	for plan, tenants := range named {
		if budget, limited := config.Budgets[plan]; limited && len(tenants) > budget {
			d.fault("%d tenants of plan %s are named: %v", len(tenants), plan, slices.Sorted(maps.Keys(tenants)))
		}
	}
	if count > 0 && d.flush == d.previous {
		d.fault("nothing was sent after %d", d.flush)
	}
	if count > config.MaxSeries {
		d.fault("%d series, more than %d", count, config.MaxSeries)
	}
	d.previous = d.flush
}

// totals returns the sum of all increases.
func (d *downstream) totals() map[group]amounts {
	totals := map[group]amounts{}
	for _, s := range d.series {
		total := totals[s.group]
		total.add(s.ended)
		total.add(s.last)
		totals[s.group] = total
	}
	return totals
}

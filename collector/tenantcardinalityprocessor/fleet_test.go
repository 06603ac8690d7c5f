package tenantcardinalityprocessor

import (
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// amounts is what a series has counted: of a sum its value; of a histogram count, sum and buckets. All values are
// multiples of 1/32 and small, so that they add up exactly in any order.
type amounts []float64

func (a *amounts) add(b amounts) {
	for len(*a) < len(b) {
		*a = append(*a, 0)
	}
	for i := range b {
		(*a)[i] += b[i]
	}
}

func (a amounts) minus(b amounts) amounts {
	difference := slices.Clone(a)
	for i := range b {
		difference[i] -= b[i]
	}
	return difference
}

func (a amounts) zero() bool { return !slices.ContainsFunc(a, func(x float64) bool { return x != 0 }) }

// measure is a metric of the fleet's: what one unit of work adds to it, and how an SDK writes it.
type measure struct {
	name string
	work func(amount int) amounts
	// write adds a point to a metric; scale is that of exponential histograms.
	write func(metric pmetric.Metric, delta bool, scale int, counted amounts) point
}

// point is what points of all types have in common.
type point interface {
	Attributes() pcommon.Map
	SetStartTimestamp(pcommon.Timestamp)
	SetTimestamp(pcommon.Timestamp)
}

var measures = []measure{
	{"tenant.limit.hits", func(n int) amounts { return amounts{float64(n)} }, writeInt},
	{"tenant.io", func(n int) amounts { return amounts{float64(n) / 4} }, writeDouble},
	{"db.query.duration", workExplicit, writeExplicit},
	{"db.latency", workExponential, writeExponential},
	{"db.wait", workMixed, writeMixed},
}

var bounds = []float64{0.0625, 0.125, 0.5}

// values are what is recorded in histograms; some lie at a bound, which belongs to the bucket below it.
var values = []float64{1. / 32, 0.125, 0.25, 2}

// mixedBounds are those of different versions of an application, by the process' scale.
var mixedBounds = [][]float64{bounds, {0.125, 0.5}, {}, {0.0625, 0.25, 1, 4}}

// fineScale is that of the counts of exponential histograms here, powers of 2^(1/8); fineBuckets reach from 1 to 1024.
const (
	fineScale   = 3
	fineBuckets = 80
)

func temporality(delta bool) pmetric.AggregationTemporality {
	if delta {
		return pmetric.AggregationTemporalityDelta
	}
	return pmetric.AggregationTemporalityCumulative
}

func sumPoint(metric pmetric.Metric, delta bool) pmetric.NumberDataPoint {
	if metric.Type() != pmetric.MetricTypeSum {
		metric.SetEmptySum().SetIsMonotonic(true)
		metric.Sum().SetAggregationTemporality(temporality(delta))
	}
	return metric.Sum().DataPoints().AppendEmpty()
}

func writeInt(metric pmetric.Metric, delta bool, _ int, counted amounts) point {
	p := sumPoint(metric, delta)
	p.SetIntValue(int64(counted[0]))
	return p
}

func writeDouble(metric pmetric.Metric, delta bool, _ int, counted amounts) point {
	p := sumPoint(metric, delta)
	p.SetDoubleValue(counted[0])
	return p
}

// workExplicit records one value.
func workExplicit(n int) amounts {
	value := values[n%len(values)]
	counted := make(amounts, 3+len(bounds))
	bucket, _ := slices.BinarySearch(bounds, value)
	counted[0], counted[1], counted[2+bucket] = 1, value, 1
	return counted
}

// workMixed records one value, whose bucket depends on who writes it.
func workMixed(n int) amounts {
	counted := make(amounts, 2+len(values))
	counted[0], counted[1], counted[2+n%len(values)] = 1, values[n%len(values)], 1
	return counted
}

func writeMixed(metric pmetric.Metric, delta bool, scale int, counted amounts) point {
	buckets := make(amounts, len(mixedBounds[scale])+1)
	for i, count := range counted[2:] {
		bucket, _ := slices.BinarySearch(mixedBounds[scale], values[i])
		buckets[bucket] += count
	}
	p := writeExplicit(metric, delta, scale, append(slices.Clone(counted[:2]), buckets...)).(pmetric.HistogramDataPoint)
	p.ExplicitBounds().FromRaw(mixedBounds[scale])
	if len(mixedBounds[scale]) == 0 { // one bucket need not be said
		p.BucketCounts().FromRaw(nil)
	}
	return p
}

func writeExplicit(metric pmetric.Metric, delta bool, _ int, counted amounts) point {
	if metric.Type() != pmetric.MetricTypeHistogram {
		metric.SetEmptyHistogram().SetAggregationTemporality(temporality(delta))
	}
	p := metric.Histogram().DataPoints().AppendEmpty()
	p.SetCount(uint64(counted[0]))
	p.SetSum(counted[1])
	p.ExplicitBounds().FromRaw(bounds)
	for _, count := range counted[2:] {
		p.BucketCounts().Append(uint64(count))
	}
	return p
}

// workExponential records a zero, or a value in one of the fine buckets.
func workExponential(n int) amounts {
	counted := make(amounts, 3+fineBuckets)
	counted[0], counted[1] = 1, float64(n)
	counted[2+n*17%(fineBuckets+1)] = 1
	return counted
}

func writeExponential(metric pmetric.Metric, delta bool, scale int, counted amounts) point {
	if metric.Type() != pmetric.MetricTypeExponentialHistogram {
		metric.SetEmptyExponentialHistogram().SetAggregationTemporality(temporality(delta))
	}
	p := metric.ExponentialHistogram().DataPoints().AppendEmpty()
	p.SetCount(uint64(counted[0]))
	p.SetSum(counted[1])
	p.SetZeroCount(uint64(counted[2]))
	p.SetScale(int32(scale))
	counts := atScale(counted[3:], fineScale-scale)
	offset := max(slices.IndexFunc(counts, func(n float64) bool { return n != 0 }), 0)
	p.Positive().SetOffset(int32(offset))
	for _, count := range counts[offset:] {
		p.Positive().BucketCounts().Append(uint64(count))
	}
	return p
}

// atScale merges each 2^coarser buckets into one.
func atScale(counts []float64, coarser int) []float64 {
	merged := make([]float64, (len(counts)-1)>>coarser+1)
	for i, count := range counts {
		merged[i>>coarser] += count
	}
	return merged
}

// tenant is who is measured.
type tenant struct{ name, plan, tier string }

// streamKey tells the streams of a process apart.
type streamKey struct {
	tenant
	measure int
	status  string
}

// process is one of the fleet: its SDK counts since it began, and exports all that it has.
type process struct {
	name        string
	incarnation int
	delta       bool
	scale       int
	began, last time.Time
	order       []streamKey
	counted     map[streamKey]amounts
	exported    map[streamKey]amounts // up to the last export
}

func (p *process) begin(now time.Time, delta bool, scale int) {
	*p = process{
		name: p.name, incarnation: p.incarnation + 1, delta: delta, scale: scale, began: now, last: now,
		counted: map[streamKey]amounts{}, exported: map[streamKey]amounts{},
	}
}

func (p *process) work(key streamKey, amount int) {
	counted, known := p.counted[key]
	if !known {
		p.order = append(p.order, key)
	}
	counted = slices.Clone(counted)
	counted.add(measures[key.measure].work(amount))
	p.counted[key] = counted
}

// export is one request of a process, and what it says of each stream: its sum, or what was added since the last one.
type export struct {
	process     string
	incarnation int
	delta       bool
	from, to    time.Time
	says        map[streamKey]amounts
	metrics     pmetric.Metrics
}

// export reads the SDK. Delta streams without news are left out, as SDKs do.
func (p *process) export(now time.Time) export {
	e := export{
		process: p.name, incarnation: p.incarnation, delta: p.delta, from: p.began, to: now,
		says: map[streamKey]amounts{}, metrics: pmetric.NewMetrics(),
	}
	if p.delta {
		e.from = p.last
	}
	resource := e.metrics.ResourceMetrics().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "shop")
	resource.Resource().Attributes().PutStr("service.instance.id", p.name)
	scope := resource.ScopeMetrics().AppendEmpty()
	scope.Scope().SetName("otel_dynabase")
	written := map[int]pmetric.Metric{}
	for _, key := range p.order {
		says := p.counted[key]
		if p.delta {
			if says = says.minus(p.exported[key]); says.zero() {
				continue
			}
		}
		metric, known := written[key.measure]
		if !known {
			metric = scope.Metrics().AppendEmpty()
			metric.SetName(measures[key.measure].name)
			written[key.measure] = metric
		}
		e.says[key] = says
		p.exported[key] = p.counted[key]
		key.write(measures[key.measure].write(metric, p.delta, p.scale, says), e.from, e.to)
	}
	p.last = now
	return e
}

func (k streamKey) write(p point, from, to time.Time) {
	p.SetStartTimestamp(pcommon.NewTimestampFromTime(from))
	p.SetTimestamp(pcommon.NewTimestampFromTime(to))
	p.Attributes().PutStr("project_id", k.name)
	p.Attributes().PutStr("plan", k.plan)
	p.Attributes().PutStr("tier", k.tier)
	p.Attributes().PutStr("status", k.status)
}

// group is what is left when tenants and processes are summed away: what has to stay exact.
type group struct{ metric, plan, tier, status string }

// ledger knows what is true: what the exports that arrived say, each window and each sum once.
type ledger map[string]entry

// entry is what a stream of an incarnation says of one window, or at the latest of all of its time.
type entry struct {
	group group
	to    time.Time
	says  amounts
}

func (l ledger) arrived(e export) {
	for key, says := range e.says {
		id := fmt.Sprint(e.process, e.incarnation, key)
		if e.delta {
			id += fmt.Sprint(e.to)
		}
		if l[id].to.Before(e.to) {
			l[id] = entry{group{measures[key.measure].name, key.plan, key.tier, key.status}, e.to, says}
		}
	}
}

func (l ledger) totals() map[group]amounts {
	totals := map[group]amounts{}
	for _, entry := range l {
		total := totals[entry.group]
		total.add(entry.says)
		totals[entry.group] = total
	}
	return totals
}

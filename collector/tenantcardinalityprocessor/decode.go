package tenantcardinalityprocessor

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/core"
)

// decoder hands pdata to the core. What it hands over is reused: it must not be used concurrently.
type decoder struct {
	config *Config

	resource    resourceAttributes
	point       core.Point
	attributes  attributes
	explicit    core.Explicit
	exponential core.Exponential
}

func newDecoder(config *Config) *decoder {
	d := &decoder{config: config, resource: resourceAttributes{config: config}}
	d.point.Attributes = &d.attributes
	return d
}

// count counts all points that have a tenant.
func (d *decoder) count(batch *core.Batch, metrics pmetric.Metrics) {
	for _, resource := range metrics.ResourceMetrics().All() {
		d.resource.Map = resource.Resource().Attributes()
		batch.Resource(core.Resource{Identity: identityOf(d.resource.Map), Kept: &d.resource})
		for _, scope := range resource.ScopeMetrics().All() {
			identity := identityOf(scope.Scope().Attributes()).WithString(scope.Scope().Version())
			for _, metric := range scope.Metrics().All() {
				d.metric(batch, core.Metric{
					Scope: scope.Scope().Name(), ScopeIdentity: identity,
					Name: metric.Name(), Unit: metric.Unit(), Description: metric.Description(),
				}, metric)
			}
		}
	}
}

// metric counts the points of one metric. What has no temporality, and summaries, cannot be summed up: refused.
func (d *decoder) metric(batch *core.Batch, m core.Metric, metric pmetric.Metric) {
	temporality := pmetric.AggregationTemporalityCumulative
	switch metric.Type() {
	case pmetric.MetricTypeGauge:
		m.Kind = core.KindGauge
	case pmetric.MetricTypeSum:
		m.Kind, m.Monotonic = core.KindSum, metric.Sum().IsMonotonic()
		temporality = metric.Sum().AggregationTemporality()
	case pmetric.MetricTypeHistogram:
		m.Kind = core.KindExplicit
		temporality = metric.Histogram().AggregationTemporality()
	case pmetric.MetricTypeExponentialHistogram:
		m.Kind = core.KindExponential
		temporality = metric.ExponentialHistogram().AggregationTemporality()
	default:
		temporality = pmetric.AggregationTemporalityUnspecified
	}
	if temporality == pmetric.AggregationTemporalityUnspecified {
		batch.Count(core.Refused, pointsOf(metric, d.config.Tenant).tenants)
		return
	}
	m.Delta = temporality == pmetric.AggregationTemporalityDelta
	batch.Metric(m)
	switch metric.Type() {
	case pmetric.MetricTypeGauge:
		d.numbers(batch, metric.Gauge().DataPoints())
	case pmetric.MetricTypeSum:
		d.numbers(batch, metric.Sum().DataPoints())
	case pmetric.MetricTypeHistogram:
		d.explicits(batch, metric.Histogram().DataPoints())
	case pmetric.MetricTypeExponentialHistogram:
		d.exponentials(batch, metric.ExponentialHistogram().DataPoints())
	}
}

func (d *decoder) numbers(batch *core.Batch, points pmetric.NumberDataPointSlice) {
	for i := range points.Len() {
		point := points.At(i)
		if !d.begin(point.Attributes(), point.StartTimestamp(), point.Timestamp(), point.Flags(), point.Exemplars()) {
			continue
		}
		switch {
		case point.ValueType() == pmetric.NumberDataPointValueTypeInt:
			batch.Number(&d.point, core.IntNumber(point.IntValue()))
		case point.ValueType() == pmetric.NumberDataPointValueTypeDouble || d.point.NoValue:
			batch.Number(&d.point, core.FloatNumber(point.DoubleValue()))
		default:
			batch.Count(core.Refused, 1)
		}
	}
}

func (d *decoder) explicits(batch *core.Batch, points pmetric.HistogramDataPointSlice) {
	for i := range points.Len() {
		point := points.At(i)
		if !d.begin(point.Attributes(), point.StartTimestamp(), point.Timestamp(), point.Flags(), point.Exemplars()) {
			continue
		}
		h := &d.explicit
		h.Count, h.Sum, h.HasSum = point.Count(), point.Sum(), point.HasSum()
		h.Counts = appendCounts(h.Counts[:0], point.BucketCounts())
		h.Bounds = h.Bounds[:0]
		for _, bound := range point.ExplicitBounds().All() {
			h.Bounds = append(h.Bounds, bound)
		}
		batch.Explicit(&d.point, h)
	}
}

func (d *decoder) exponentials(batch *core.Batch, points pmetric.ExponentialHistogramDataPointSlice) {
	for i := range points.Len() {
		point := points.At(i)
		if !d.begin(point.Attributes(), point.StartTimestamp(), point.Timestamp(), point.Flags(), point.Exemplars()) {
			continue
		}
		h := &d.exponential
		h.Count, h.Sum, h.HasSum = point.Count(), point.Sum(), point.HasSum()
		h.Scale, h.ZeroCount, h.ZeroThreshold = point.Scale(), point.ZeroCount(), point.ZeroThreshold()
		h.Positive.Offset = point.Positive().Offset()
		h.Positive.Counts = appendCounts(h.Positive.Counts[:0], point.Positive().BucketCounts())
		h.Negative.Offset = point.Negative().Offset()
		h.Negative.Counts = appendCounts(h.Negative.Counts[:0], point.Negative().BucketCounts())
		batch.Exponential(&d.point, h)
	}
}

func appendCounts(to []uint64, counts pcommon.UInt64Slice) []uint64 {
	for _, count := range counts.All() {
		to = append(to, count)
	}
	return to
}

// begin reads what all points have. It reports whether there is a tenant.
func (d *decoder) begin(
	attributes pcommon.Map, start, time pcommon.Timestamp, flags pmetric.DataPointFlags, exemplars pmetric.ExemplarSlice,
) bool {
	p := &d.point
	p.Identity, p.Tenant, p.Plan, p.Tier = 0, "", "", ""
	for key, value := range attributes.All() {
		text := ""
		if value.Type() == pcommon.ValueTypeStr {
			text = value.Str()
			p.Identity.AddString(key, text)
		} else {
			v := valueOf(value)
			p.Identity.Add(key, v)
			text = value.AsString()
		}
		switch key {
		case d.config.Tenant:
			p.Tenant = text
		case d.config.Plan:
			p.Plan = text
		case d.config.Tier:
			p.Tier = text
		}
	}
	d.attributes.Map = attributes
	p.Start, p.Time, p.NoValue = int64(start), int64(time), flags.NoRecordedValue()
	p.Exemplars = p.Exemplars[:0]
	if exemplars.Len() > 0 && p.Tenant != "" {
		d.exemplars(exemplars)
	}
	return p.Tenant != ""
}

func (d *decoder) exemplars(exemplars pmetric.ExemplarSlice) {
	for _, exemplar := range exemplars.All() {
		e := core.Exemplar{
			Time: int64(exemplar.Timestamp()), TraceID: exemplar.TraceID(), SpanID: exemplar.SpanID(),
			Attributes: appendAttributes(nil, exemplar.FilteredAttributes()),
		}
		if e.Value = core.FloatNumber(exemplar.DoubleValue()); exemplar.ValueType() == pmetric.ExemplarValueTypeInt {
			e.Value = core.IntNumber(exemplar.IntValue())
		}
		d.point.Exemplars = append(d.point.Exemplars, e)
	}
}

// attributes are those of a point.
type attributes struct{ pcommon.Map }

// Append appends all of them.
func (a *attributes) Append(to []core.Attribute) []core.Attribute { return appendAttributes(to, a.Map) }

// resourceAttributes are those of a resource that outputs keep, and the replica's.
type resourceAttributes struct {
	pcommon.Map
	config *Config
}

// Append appends them.
func (r *resourceAttributes) Append(to []core.Attribute) []core.Attribute {
	for _, key := range r.config.Keep {
		if value, has := r.Get(key); has {
			to = append(to, core.Attribute{Key: key, Value: valueOf(value)})
		}
	}
	return append(to, r.config.replica()...)
}

func appendAttributes(to []core.Attribute, attributes pcommon.Map) []core.Attribute {
	for key, value := range attributes.All() {
		to = append(to, core.Attribute{Key: key, Value: valueOf(value)})
	}
	return to
}

func identityOf(attributes pcommon.Map) (identity core.Identity) {
	for key, value := range attributes.All() {
		identity.Add(key, valueOf(value))
	}
	return identity
}

// valueOf returns an attribute's value: one of bytes, a slice or a map as a string, which is what it is in Prometheus.
func valueOf(value pcommon.Value) core.Value {
	switch value.Type() {
	case pcommon.ValueTypeEmpty:
		return core.Value{}
	case pcommon.ValueTypeStr:
		return core.String(value.Str())
	case pcommon.ValueTypeInt:
		return core.Int(value.Int())
	case pcommon.ValueTypeDouble:
		return core.Double(value.Double())
	case pcommon.ValueTypeBool:
		return core.Bool(value.Bool())
	default:
		return core.String(value.AsString())
	}
}

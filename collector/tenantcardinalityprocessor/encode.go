package tenantcardinalityprocessor

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/core"
)

// encoder makes pdata of an output: one metric for each family.
type encoder struct {
	metrics   pmetric.Metrics
	resources map[core.Identity]pmetric.ResourceMetrics
	scopes    map[scope]pmetric.ScopeMetrics
	families  map[*core.Family]pmetric.Metric
}

type scope struct {
	group core.Identity
	name  string
}

func encode(output *core.Output) pmetric.Metrics {
	e := encoder{
		metrics:   pmetric.NewMetrics(),
		resources: map[core.Identity]pmetric.ResourceMetrics{},
		scopes:    map[scope]pmetric.ScopeMetrics{},
		families:  map[*core.Family]pmetric.Metric{},
	}
	var family *core.Family
	var metric pmetric.Metric
	for i := range output.Points {
		point := &output.Points[i]
		if point.Family != family {
			family = point.Family
			metric = e.metric(family)
		}
		e.point(metric, point)
	}
	return e.metrics
}

func (e *encoder) metric(f *core.Family) pmetric.Metric {
	metric, has := e.families[f]
	if has {
		return metric
	}
	metric = e.scope(f).Metrics().AppendEmpty()
	e.families[f] = metric
	metric.SetName(f.Name)
	metric.SetUnit(f.Unit)
	metric.SetDescription(f.Description)
	switch f.Kind {
	case core.KindGauge:
		metric.SetEmptyGauge()
	case core.KindSum:
		metric.SetEmptySum().SetIsMonotonic(f.Monotonic)
		metric.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	case core.KindExplicit:
		metric.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	case core.KindExponential:
		metric.SetEmptyExponentialHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	}
	return metric
}

func (e *encoder) scope(f *core.Family) pmetric.ScopeMetrics {
	key := scope{f.Group, f.Scope}
	found, has := e.scopes[key]
	if has {
		return found
	}
	resource, has := e.resources[f.Group]
	if !has {
		resource = e.metrics.ResourceMetrics().AppendEmpty()
		putAttributes(resource.Resource().Attributes(), f.Kept)
		e.resources[f.Group] = resource
	}
	found = resource.ScopeMetrics().AppendEmpty()
	found.Scope().SetName(f.Scope)
	e.scopes[key] = found
	return found
}

func (e *encoder) point(metric pmetric.Metric, p *core.OutputPoint) {
	switch p.Family.Kind {
	case core.KindGauge:
		encodeNumber(metric.Gauge().DataPoints().AppendEmpty(), p)
	case core.KindSum:
		encodeNumber(metric.Sum().DataPoints().AppendEmpty(), p)
	case core.KindExplicit:
		encodeExplicit(metric.Histogram().DataPoints().AppendEmpty(), p)
	case core.KindExponential:
		encodeExponential(metric.ExponentialHistogram().DataPoints().AppendEmpty(), p)
	}
}

// dataPoint is what the data points of all kinds can be told.
type dataPoint interface {
	Attributes() pcommon.Map
	SetStartTimestamp(pcommon.Timestamp)
	SetTimestamp(pcommon.Timestamp)
	SetFlags(pmetric.DataPointFlags)
	Exemplars() pmetric.ExemplarSlice
}

func encodeCommon(to dataPoint, p *core.OutputPoint) {
	putAttributes(to.Attributes(), p.Attributes)
	to.SetStartTimestamp(pcommon.Timestamp(p.Start))
	to.SetTimestamp(pcommon.Timestamp(p.Time))
	if p.NoValue {
		to.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	}
	for i := range p.Exemplars {
		encodeExemplar(to.Exemplars().AppendEmpty(), &p.Exemplars[i])
	}
}

func encodeNumber(to pmetric.NumberDataPoint, p *core.OutputPoint) {
	encodeCommon(to, p)
	switch {
	case p.NoValue:
	case p.Number.IsInt:
		to.SetIntValue(p.Number.Int)
	default:
		to.SetDoubleValue(p.Number.Float)
	}
}

func encodeExplicit(to pmetric.HistogramDataPoint, p *core.OutputPoint) {
	encodeCommon(to, p)
	h := p.Explicit
	to.SetCount(h.Count)
	if h.HasSum {
		to.SetSum(h.Sum)
	}
	to.ExplicitBounds().FromRaw(h.Bounds)
	to.BucketCounts().FromRaw(h.Counts)
}

func encodeExponential(to pmetric.ExponentialHistogramDataPoint, p *core.OutputPoint) {
	encodeCommon(to, p)
	h := p.Exponential
	to.SetCount(h.Count)
	if h.HasSum {
		to.SetSum(h.Sum)
	}
	to.SetScale(h.Scale)
	to.SetZeroCount(h.ZeroCount)
	to.SetZeroThreshold(h.ZeroThreshold)
	to.Positive().SetOffset(h.Positive.Offset)
	to.Positive().BucketCounts().FromRaw(h.Positive.Counts)
	to.Negative().SetOffset(h.Negative.Offset)
	to.Negative().BucketCounts().FromRaw(h.Negative.Counts)
}

func encodeExemplar(to pmetric.Exemplar, e *core.Exemplar) {
	to.SetTimestamp(pcommon.Timestamp(e.Time))
	to.SetTraceID(e.TraceID)
	to.SetSpanID(e.SpanID)
	if e.Value.IsInt {
		to.SetIntValue(e.Value.Int)
	} else {
		to.SetDoubleValue(e.Value.Float)
	}
	putAttributes(to.FilteredAttributes(), e.Attributes)
}

func putAttributes(to pcommon.Map, attributes []core.Attribute) {
	to.EnsureCapacity(len(attributes))
	for _, a := range attributes {
		switch a.Value.Kind {
		case core.KindString:
			to.PutStr(a.Key, a.Value.Str)
		case core.KindInt:
			to.PutInt(a.Key, a.Value.AsInt())
		case core.KindDouble:
			to.PutDouble(a.Key, a.Value.AsDouble())
		case core.KindBool:
			to.PutBool(a.Key, a.Value.AsBool())
		default:
			to.PutEmpty(a.Key)
		}
	}
}

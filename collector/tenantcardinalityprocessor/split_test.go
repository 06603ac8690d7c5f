package tenantcardinalityprocessor

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// ofEachKind returns one metric of each kind, with a point of each of the tenants; "": without the attribute.
func ofEachKind(tenants ...string) pmetric.Metrics {
	metrics := pmetric.NewMetrics()
	resource := metrics.ResourceMetrics().AppendEmpty()
	resource.SetSchemaUrl("resource schema")
	resource.Resource().Attributes().PutStr("service.name", "shop")
	scope := resource.ScopeMetrics().AppendEmpty()
	scope.SetSchemaUrl("scope schema")
	scope.Scope().SetName("scope")
	scope.Scope().SetVersion("1")
	add := func(name string) pmetric.Metric {
		metric := scope.Metrics().AppendEmpty()
		metric.SetName(name)
		metric.SetUnit("s")
		metric.SetDescription("about " + name)
		metric.Metadata().PutStr("from", "a test")
		return metric
	}
	gauge, sum, histogram := add("gauge").SetEmptyGauge(), add("sum").SetEmptySum(), add("histogram").SetEmptyHistogram()
	exponential, summary := add("exponential").SetEmptyExponentialHistogram(), add("summary").SetEmptySummary()
	sum.SetIsMonotonic(true)
	sum.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	histogram.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	exponential.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	for i, tenant := range tenants {
		for _, attributes := range []pcommon.Map{
			gauge.DataPoints().AppendEmpty().Attributes(), sum.DataPoints().AppendEmpty().Attributes(),
			histogram.DataPoints().AppendEmpty().Attributes(), exponential.DataPoints().AppendEmpty().Attributes(),
			summary.DataPoints().AppendEmpty().Attributes(),
		} {
			attributes.PutInt("point", int64(i))
			if tenant != "" {
				attributes.PutStr("project_id", tenant)
			}
		}
	}
	return metrics
}

func TestOnlyThePointsWithoutATenantAreCopied(t *testing.T) {
	for _, metric := range ofEachKind("", "").ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
		copied := pmetric.NewMetric()
		copyMetric(metric, copied, "project_id")
		assert.Equal(t, metric, copied, "with all that it has")
	}
	mixed := ofEachKind("", "a", "", "b")
	assert.Equal(t, census{tenants: 10, others: 10}, censusOf(mixed, "project_id"))
	others := othersOf(mixed, "project_id")
	assert.Equal(t, census{others: 10}, censusOf(others, "project_id"))
	assert.Equal(t, census{tenants: 10, others: 10}, censusOf(mixed, "project_id"), "the request is not changed")
	assert.Equal(t, othersOf(ofEachKind("", "a", ""), "project_id"), others)
	resource := others.ResourceMetrics().At(0)
	assert.Equal(t, "resource schema", resource.SchemaUrl())
	assert.Equal(t, "scope schema", resource.ScopeMetrics().At(0).SchemaUrl())
	assert.Equal(t, "1", resource.ScopeMetrics().At(0).Scope().Version())
}

func TestMetricsWithoutSuchPointsAreLeftOut(t *testing.T) {
	mixed := ofEachKind("a")
	ofEachKind("").ResourceMetrics().MoveAndAppendTo(mixed.ResourceMetrics())
	assert.Equal(t, ofEachKind(""), othersOf(mixed, "project_id"))
}

func TestWhoHasATenant(t *testing.T) {
	for name, c := range map[string]struct {
		put  func(pcommon.Map)
		want bool
	}{
		"a name":      {func(m pcommon.Map) { m.PutStr("project_id", "a") }, true},
		"a number":    {func(m pcommon.Map) { m.PutInt("project_id", 7) }, true},
		"none":        {func(m pcommon.Map) { m.PutStr("plan", "pro") }, false},
		"an empty":    {func(m pcommon.Map) { m.PutStr("project_id", "") }, false},
		"of no value": {func(m pcommon.Map) { m.PutEmpty("project_id") }, false},
	} {
		attributes := pcommon.NewMap()
		c.put(attributes)
		assert.Equal(t, c.want, hasTenant(attributes, "project_id"), name)
		d := newDecoder(defaults())
		assert.Equal(t, c.want, d.begin(attributes, 1, 2, 0, pmetric.NewExemplarSlice()), name)
	}
}

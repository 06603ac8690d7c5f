package tenantcardinalityprocessor

import (
	"iter"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// census is how many points have a tenant, and how many have none.
type census struct{ tenants, others int }

// hasTenant tells whether points of these attributes are counted: an empty name is nobody's, like none at all.
func hasTenant(attributes pcommon.Map, tenant string) bool {
	value, has := attributes.Get(tenant)
	if !has || value.Type() == pcommon.ValueTypeStr {
		return has && value.Str() != ""
	}
	return value.AsString() != ""
}

// pointed is a data point of any kind.
type pointed[P any] interface {
	Attributes() pcommon.Map
	CopyTo(P)
}

func countPoints[P pointed[P]](points iter.Seq2[int, P], tenant string) (c census) {
	for _, point := range points {
		if hasTenant(point.Attributes(), tenant) {
			c.tenants++
		} else {
			c.others++
		}
	}
	return c
}

func copyOthers[P pointed[P]](points iter.Seq2[int, P], add func() P, tenant string) {
	for _, point := range points {
		if !hasTenant(point.Attributes(), tenant) {
			point.CopyTo(add())
		}
	}
}

func pointsOf(metric pmetric.Metric, tenant string) census {
	switch metric.Type() {
	case pmetric.MetricTypeGauge:
		return countPoints(metric.Gauge().DataPoints().All(), tenant)
	case pmetric.MetricTypeSum:
		return countPoints(metric.Sum().DataPoints().All(), tenant)
	case pmetric.MetricTypeHistogram:
		return countPoints(metric.Histogram().DataPoints().All(), tenant)
	case pmetric.MetricTypeExponentialHistogram:
		return countPoints(metric.ExponentialHistogram().DataPoints().All(), tenant)
	case pmetric.MetricTypeSummary:
		return countPoints(metric.Summary().DataPoints().All(), tenant)
	default:
		return census{}
	}
}

// censusOf counts the points of all metrics.
func censusOf(metrics pmetric.Metrics, tenant string) (all census) {
	for _, resource := range metrics.ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			for _, metric := range scope.Metrics().All() {
				c := pointsOf(metric, tenant)
				all.tenants += c.tenants
				all.others += c.others
			}
		}
	}
	return all
}

// othersOf returns a copy of the points without a tenant, which are few.
func othersOf(metrics pmetric.Metrics, tenant string) pmetric.Metrics {
	others := pmetric.NewMetrics()
	for _, resource := range metrics.ResourceMetrics().All() {
		to := others.ResourceMetrics().AppendEmpty()
		resource.Resource().CopyTo(to.Resource())
		to.SetSchemaUrl(resource.SchemaUrl())
		for _, scope := range resource.ScopeMetrics().All() {
			to := to.ScopeMetrics().AppendEmpty()
			scope.Scope().CopyTo(to.Scope())
			to.SetSchemaUrl(scope.SchemaUrl())
			for _, metric := range scope.Metrics().All() {
				if pointsOf(metric, tenant).others > 0 {
					copyMetric(metric, to.Metrics().AppendEmpty(), tenant)
				}
			}
		}
		to.ScopeMetrics().RemoveIf(func(scope pmetric.ScopeMetrics) bool { return scope.Metrics().Len() == 0 })
	}
	others.ResourceMetrics().RemoveIf(func(resource pmetric.ResourceMetrics) bool { return resource.ScopeMetrics().Len() == 0 })
	return others
}

// copyMetric copies a metric without the points of tenants.
func copyMetric(from, to pmetric.Metric, tenant string) {
	to.SetName(from.Name())
	to.SetUnit(from.Unit())
	to.SetDescription(from.Description())
	from.Metadata().CopyTo(to.Metadata())
	switch from.Type() {
	case pmetric.MetricTypeGauge:
		copyOthers(from.Gauge().DataPoints().All(), to.SetEmptyGauge().DataPoints().AppendEmpty, tenant)
	case pmetric.MetricTypeSum:
		to.SetEmptySum().SetIsMonotonic(from.Sum().IsMonotonic())
		to.Sum().SetAggregationTemporality(from.Sum().AggregationTemporality())
		copyOthers(from.Sum().DataPoints().All(), to.Sum().DataPoints().AppendEmpty, tenant)
	case pmetric.MetricTypeHistogram:
		to.SetEmptyHistogram().SetAggregationTemporality(from.Histogram().AggregationTemporality())
		copyOthers(from.Histogram().DataPoints().All(), to.Histogram().DataPoints().AppendEmpty, tenant)
	case pmetric.MetricTypeExponentialHistogram:
		to.SetEmptyExponentialHistogram().SetAggregationTemporality(from.ExponentialHistogram().AggregationTemporality())
		copyOthers(from.ExponentialHistogram().DataPoints().All(), to.ExponentialHistogram().DataPoints().AppendEmpty, tenant)
	case pmetric.MetricTypeSummary:
		copyOthers(from.Summary().DataPoints().All(), to.SetEmptySummary().DataPoints().AppendEmpty, tenant)
	}
}

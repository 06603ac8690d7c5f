package tenantcardinalityprocessor

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// census is how many points have a tenant, and how many have none.
type census struct{ tenants, others int }

func (c *census) add(attributes pcommon.Map, tenant string) {
	if hasTenant(attributes, tenant) {
		c.tenants++
	} else {
		c.others++
	}
}

// hasTenant tells whether points of these attributes are counted: an empty name is nobody's, like none at all.
func hasTenant(attributes pcommon.Map, tenant string) bool {
	value, has := attributes.Get(tenant)
	if !has || value.Type() == pcommon.ValueTypeStr {
		return has && value.Str() != ""
	}
	return value.AsString() != ""
}

func pointsOf(metric pmetric.Metric, tenant string) (c census) {
	switch metric.Type() {
	case pmetric.MetricTypeGauge:
		for _, point := range metric.Gauge().DataPoints().All() {
			c.add(point.Attributes(), tenant)
		}
	case pmetric.MetricTypeSum:
		for _, point := range metric.Sum().DataPoints().All() {
			c.add(point.Attributes(), tenant)
		}
	case pmetric.MetricTypeHistogram:
		for _, point := range metric.Histogram().DataPoints().All() {
			c.add(point.Attributes(), tenant)
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, point := range metric.ExponentialHistogram().DataPoints().All() {
			c.add(point.Attributes(), tenant)
		}
	case pmetric.MetricTypeSummary:
		for _, point := range metric.Summary().DataPoints().All() {
			c.add(point.Attributes(), tenant)
		}
	}
	return c
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

// othersOf returns a copy of the points without a tenant.
func othersOf(metrics pmetric.Metrics, tenant string) pmetric.Metrics {
	others := pmetric.NewMetrics()
	metrics.CopyTo(others)
	others.ResourceMetrics().RemoveIf(func(resource pmetric.ResourceMetrics) bool {
		resource.ScopeMetrics().RemoveIf(func(scope pmetric.ScopeMetrics) bool {
			scope.Metrics().RemoveIf(func(metric pmetric.Metric) bool {
				removeTenants(metric, tenant)
				return pointsOf(metric, tenant).others == 0
			})
			return scope.Metrics().Len() == 0
		})
		return resource.ScopeMetrics().Len() == 0
	})
	return others
}

func removeTenants(metric pmetric.Metric, tenant string) {
	switch metric.Type() {
	case pmetric.MetricTypeGauge:
		metric.Gauge().DataPoints().RemoveIf(func(p pmetric.NumberDataPoint) bool { return hasTenant(p.Attributes(), tenant) })
	case pmetric.MetricTypeSum:
		metric.Sum().DataPoints().RemoveIf(func(p pmetric.NumberDataPoint) bool { return hasTenant(p.Attributes(), tenant) })
	case pmetric.MetricTypeHistogram:
		metric.Histogram().DataPoints().RemoveIf(func(p pmetric.HistogramDataPoint) bool { return hasTenant(p.Attributes(), tenant) })
	case pmetric.MetricTypeExponentialHistogram:
		metric.ExponentialHistogram().DataPoints().RemoveIf(func(p pmetric.ExponentialHistogramDataPoint) bool {
			return hasTenant(p.Attributes(), tenant)
		})
	case pmetric.MetricTypeSummary:
		metric.Summary().DataPoints().RemoveIf(func(p pmetric.SummaryDataPoint) bool { return hasTenant(p.Attributes(), tenant) })
	}
}

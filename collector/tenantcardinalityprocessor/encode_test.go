package tenantcardinalityprocessor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/core"
)

// flushed counts metrics, and returns what a flush makes of them.
func flushed(t *testing.T, metrics pmetric.Metrics) (pmetric.Metrics, core.Stats) {
	began := time.Unix(1_700_000_000, 0)
	state := core.New(defaults().settings(began), began)
	batch := state.Begin(began.Add(time.Second))
	newDecoder(defaults()).count(batch, metrics)
	batch.End()
	return encode(state.Flush(began.Add(10 * time.Second))), state.Stats()
}

// filled has values in all points of ofEachKind.
func filled(tenant string) pmetric.Metrics {
	metrics := ofEachKind(tenant)
	all := metrics.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	from, to := pcommon.Timestamp(1_700_000_000_000_000_000), pcommon.Timestamp(1_700_000_001_000_000_000)
	gauge, sum := all.At(0).Gauge().DataPoints().At(0), all.At(1).Sum().DataPoints().At(0)
	histogram, exponential := all.At(2).Histogram().DataPoints().At(0), all.At(3).ExponentialHistogram().DataPoints().At(0)
	gauge.SetTimestamp(to)
	gauge.SetDoubleValue(0.5)
	sum.SetStartTimestamp(from)
	sum.SetTimestamp(to)
	sum.SetIntValue(3)
	histogram.SetStartTimestamp(from)
	histogram.SetTimestamp(to)
	histogram.SetCount(3)
	histogram.SetSum(7)
	histogram.ExplicitBounds().FromRaw([]float64{1, 5})
	histogram.BucketCounts().FromRaw([]uint64{1, 0, 2})
	exemplar := histogram.Exemplars().AppendEmpty()
	exemplar.SetTimestamp(to)
	exemplar.SetDoubleValue(6)
	exemplar.SetTraceID([16]byte{1})
	exemplar.SetSpanID([8]byte{2})
	exemplar.FilteredAttributes().PutBool("cached", true)
	exponential.SetStartTimestamp(from)
	exponential.SetTimestamp(to)
	exponential.SetCount(6)
	exponential.SetSum(9)
	exponential.SetScale(2)
	exponential.SetZeroCount(1)
	exponential.SetZeroThreshold(0.25)
	exponential.Positive().SetOffset(3)
	exponential.Positive().BucketCounts().FromRaw([]uint64{1, 2})
	exponential.Negative().SetOffset(4)
	exponential.Negative().BucketCounts().FromRaw([]uint64{2})
	return metrics
}

// named returns the metrics by name.
func named(metrics pmetric.Metrics) map[string]pmetric.Metric {
	all := map[string]pmetric.Metric{}
	for _, resource := range metrics.ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			for _, metric := range scope.Metrics().All() {
				all[metric.Name()] = metric
			}
		}
	}
	return all
}

func TestEachKindComesOutAsItWentIn(t *testing.T) {
	metrics, stats := flushed(t, filled("a"))
	assert.Equal(t, uint64(1), stats.Points[core.Refused], "a summary is no sum")
	got, want := named(metrics), named(filled("a"))
	for _, name := range []string{"gauge", "sum", "histogram", "exponential"} {
		assert.Equal(t, want[name].Type(), got[name].Type())
		assert.Equal(t, want[name].Unit(), got[name].Unit())
		assert.Equal(t, want[name].Description(), got[name].Description())
	}
	assert.True(t, got["sum"].Sum().IsMonotonic())
	assert.Equal(t, pmetric.AggregationTemporalityCumulative, got["sum"].Sum().AggregationTemporality())
	assert.InDelta(t, 0.5, got["gauge"].Gauge().DataPoints().At(0).DoubleValue(), 0)
	assert.Equal(t, int64(3), got["sum"].Sum().DataPoints().At(1).IntValue())

	h, w := got["histogram"].Histogram().DataPoints().At(1), want["histogram"].Histogram().DataPoints().At(0)
	assert.Equal(t, w.BucketCounts(), h.BucketCounts())
	assert.Equal(t, w.ExplicitBounds(), h.ExplicitBounds())
	assert.Equal(t, w.Exemplars(), h.Exemplars())
	assert.Equal(t, []any{w.Count(), w.Sum(), w.Attributes().AsRaw()}, []any{h.Count(), h.Sum(), h.Attributes().AsRaw()})

	x, v := got["exponential"].ExponentialHistogram().DataPoints().At(1), want["exponential"].ExponentialHistogram().DataPoints().At(0)
	assert.Equal(t, v.Positive(), x.Positive())
	assert.Equal(t, v.Negative(), x.Negative())
	assert.Equal(t, []any{v.Count(), v.Sum(), v.Scale(), v.ZeroCount(), v.ZeroThreshold()},
		[]any{x.Count(), x.Sum(), x.Scale(), x.ZeroCount(), x.ZeroThreshold()})
}

func TestAttributesKeepTheirTypesAsFarAsALabelCan(t *testing.T) {
	metrics := filled("a")
	attributes := metrics.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(1).Sum().DataPoints().At(0).Attributes()
	require.NoError(t, attributes.FromRaw(map[string]any{
		"project_id": 7, "bool": true, "double": 0.5, "empty": nil, "text": "",
		"bytes": []byte("x"), "slice": []any{"a", 1}, "map": map[string]any{"a": 1},
	}))
	got, _ := flushed(t, metrics)
	assert.Equal(t, map[string]any{
		"project_id": int64(7), "bool": true, "double": 0.5, "empty": nil, "text": "", "bytes": "eA==", "slice": `["a",1]`, "map": `{"a":1}`,
	}, named(got)["sum"].Sum().DataPoints().At(1).Attributes().AsRaw())
}

func TestOutputsKeepWhatTheyMayOfAResource(t *testing.T) {
	metrics := filled("a")
	resource := metrics.ResourceMetrics().At(0).Resource().Attributes()
	resource.PutStr("service.instance.id", "1")
	resource.PutStr("service.namespace", "europe")
	got, _ := flushed(t, metrics)
	assert.Equal(t, map[string]any{"service.name": "shop", "service.namespace": "europe"},
		got.ResourceMetrics().At(0).Resource().Attributes().AsRaw())
	assert.Equal(t, "scope", got.ResourceMetrics().At(0).ScopeMetrics().At(0).Scope().Name())
}

func TestAStaleMarkerOfAHistogramHasItsBuckets(t *testing.T) {
	family := &core.Family{Name: "histogram", Kind: core.KindExplicit}
	metrics := encode(&core.Output{Points: []core.OutputPoint{{
		Family: family, Start: 1, Time: 2, NoValue: true, Explicit: &core.Explicit{Bounds: []float64{1, 5}, Counts: []uint64{0, 0, 0}},
	}}})
	point := named(metrics)["histogram"].Histogram().DataPoints().At(0)
	assert.True(t, point.Flags().NoRecordedValue())
	assert.Equal(t, []float64{1, 5}, point.ExplicitBounds().AsRaw())
	assert.Equal(t, []uint64{0, 0, 0}, point.BucketCounts().AsRaw())
	assert.Zero(t, point.Count())
}

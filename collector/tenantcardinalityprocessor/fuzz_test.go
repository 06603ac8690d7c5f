package tenantcardinalityprocessor

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/testdata"
)

// FuzzAnyMetrics gives it two requests of any bytes that are OTLP, stops it between them, and looks at what it sends. What
// becomes of every point is checked when it stops.
func FuzzAnyMetrics(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var requests []pmetric.Metrics
		for _, data := range [][]byte{first, second} {
			request, err := new(pmetric.ProtoUnmarshaler).UnmarshalMetrics(data)
			if err != nil {
				t.Skip("no OTLP")
			}
			requests = append(requests, request)
		}
		directory := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			c := &collector{config: testConfig(), directory: directory, next: sane{t}}
			c.config.MaxSeries, c.config.MaxStreams = 50, 50
			for _, request := range requests {
				c.up()
				c.check(c.consume(request))
				time.Sleep(3 * interval)
				c.down()
			}
			require.NoError(t, errors.Join(c.errs...))
		})
	})
}

// seeds are requests of SDKs', and one with every type there is, all of a tenant.
func seeds(f *testing.F) (found [][]byte) {
	all := testdata.GenerateMetricsAllTypes()
	for _, p := range pointsOfAll(all) {
		p.Attributes().PutStr("project_id", "a")
		p.Attributes().PutStr("plan", "pro")
	}
	requests := []pmetric.Metrics{all}
	now := time.Unix(1_000_000_000, 0)
	for _, delta := range []bool{false, true} {
		p := &process{name: "process"}
		p.begin(now, delta, 2)
		for measure := range measures {
			p.work(streamKey{tenant{"a", "pro", "HOT"}, measure, "ok"}, 3)
			p.work(streamKey{tenant{"b", "free", "HOT"}, measure, "ok"}, 5)
		}
		requests = append(requests, p.export(now.Add(time.Second)).metrics)
	}
	for _, request := range requests {
		data, err := new(pmetric.ProtoMarshaler).MarshalMetrics(request)
		require.NoError(f, err)
		found = append(found, data)
	}
	return found
}

// attributed is a point of any type.
type attributed interface{ Attributes() pcommon.Map }

// pointsOfAll returns the points of metrics of all types but summaries.
func pointsOfAll(metrics pmetric.Metrics) (found []attributed) {
	for _, resource := range metrics.ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			for _, metric := range scope.Metrics().All() {
				switch metric.Type() {
				case pmetric.MetricTypeSum:
					found = appendAll(found, metric.Sum().DataPoints().All())
				case pmetric.MetricTypeGauge:
					found = appendAll(found, metric.Gauge().DataPoints().All())
				case pmetric.MetricTypeHistogram:
					found = appendAll(found, metric.Histogram().DataPoints().All())
				case pmetric.MetricTypeExponentialHistogram:
					found = appendAll(found, metric.ExponentialHistogram().DataPoints().All())
				}
			}
		}
	}
	return found
}

func appendAll[P attributed](to []attributed, points iter.Seq2[int, P]) []attributed {
	for _, p := range points {
		to = append(to, p)
	}
	return to
}

// sane takes what is sent, if every histogram of a tenant's in it adds up.
type sane struct{ t *testing.T }

// Capabilities tells that nothing is changed.
func (sane) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// ConsumeMetrics looks at what is sent.
func (s sane) ConsumeMetrics(_ context.Context, metrics pmetric.Metrics) error {
	for _, p := range pointsOfAll(metrics) {
		if tenant, has := p.Attributes().Get("project_id"); !has || tenant.AsString() == "" {
			continue // it may have passed
		}
		switch p := p.(type) {
		case pmetric.NumberDataPoint:
			assert.False(s.t, math.IsNaN(p.DoubleValue()))
		case pmetric.HistogramDataPoint:
			bounds, counts := p.ExplicitBounds().AsRaw(), p.BucketCounts().AsRaw()
			assert.True(s.t, slices.IsSorted(bounds))
			assert.Len(s.t, counts, len(bounds)+1)
			assert.Equal(s.t, p.Count(), total(counts))
		case pmetric.ExponentialHistogramDataPoint:
			counts := p.ZeroCount() + total(p.Positive().BucketCounts().AsRaw()) + total(p.Negative().BucketCounts().AsRaw())
			assert.Equal(s.t, p.Count(), counts)
		}
	}
	return nil
}

func total(counts []uint64) (sum uint64) {
	for _, count := range counts {
		sum += count
	}
	return sum
}

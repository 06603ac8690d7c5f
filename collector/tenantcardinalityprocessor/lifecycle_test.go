package tenantcardinalityprocessor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/testdata"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNothingIsSentAfterShutdown(t *testing.T) {
	processortest.VerifyShutdown(t, NewFactory(), createDefaultConfig())
}

// started returns a processor with the defaults that sends to a sink.
func started(t *testing.T, config *Config) (processor.Metrics, *consumertest.MetricsSink) {
	sink := new(consumertest.MetricsSink)
	p, err := NewFactory().CreateMetrics(t.Context(), processortest.NewNopSettings(componentType), config, sink)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	return p, sink
}

func defaults() *Config { return createDefaultConfig().(*Config) }

func TestItStopsTwiceAndWithoutAStart(t *testing.T) {
	p, _ := started(t, defaults())
	require.NoError(t, p.Shutdown(t.Context()))
	require.NoError(t, p.Shutdown(t.Context()))
	idle, err := NewFactory().CreateMetrics(
		t.Context(), processortest.NewNopSettings(componentType), createDefaultConfig(), consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, idle.Shutdown(t.Context()))
}

func TestWithoutItsStorageItDoesNotStart(t *testing.T) {
	config := defaults()
	config.Storage = &storageID
	p, err := NewFactory().CreateMetrics(
		t.Context(), processortest.NewNopSettings(componentType), config, consumertest.NewNop())
	require.NoError(t, err)
	assert.ErrorContains(t, p.Start(t.Context(), componenttest.NewNopHost()), "service::extensions")
	require.NoError(t, p.Shutdown(t.Context()))
}

func TestOneStateIsInOneMetricsPipeline(t *testing.T) {
	factory, config := NewFactory(), createDefaultConfig()
	create := func() (processor.Metrics, error) {
		return factory.CreateMetrics(t.Context(), processortest.NewNopSettings(componentType), config, consumertest.NewNop())
	}
	first, err := create()
	require.NoError(t, err)
	_, err = create()
	assert.ErrorContains(t, err, "is in two metrics pipelines")
	require.NoError(t, first.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, first.Shutdown(t.Context()))
	_, err = create()
	assert.NoError(t, err, "after the first one has stopped")
	_, err = factory.CreateMetrics(
		t.Context(), processortest.NewNopSettings(componentType), createDefaultConfig(), consumertest.NewNop())
	assert.NoError(t, err, "another component")
}

// hit is one delta increment of a tenant on plan pro.
func hit(metrics pmetric.Metrics, tenant string, amount int64, from, to time.Time) {
	if metrics.ResourceMetrics().Len() == 0 {
		metric := metrics.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		metric.SetName("tenant.limit.hits")
		metric.SetEmptySum().SetIsMonotonic(true)
		metric.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	}
	p := metrics.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Sum().DataPoints().AppendEmpty()
	p.SetIntValue(amount)
	p.SetStartTimestamp(pcommon.NewTimestampFromTime(from))
	p.SetTimestamp(pcommon.NewTimestampFromTime(to))
	p.Attributes().PutStr("project_id", tenant)
	p.Attributes().PutStr("plan", "pro")
	p.Attributes().PutStr("tier", "HOT")
}

// TestAPromotionGoesIntoTheLogsOfTheSameComponent lets a heavy tenant take a light one's place.
func TestAPromotionGoesIntoTheLogsOfTheSameComponent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config, factory, events := defaults(), NewFactory(), new(consumertest.LogsSink)
		config.Budgets["pro"] = 1
		set := processortest.NewNopSettings(componentType)
		metrics, err := factory.CreateMetrics(t.Context(), set, config, consumertest.NewNop())
		require.NoError(t, err)
		logs, err := factory.CreateLogs(t.Context(), set, config, events)
		require.NoError(t, err)
		require.NoError(t, metrics.Start(t.Context(), componenttest.NewNopHost()))
		require.NoError(t, logs.Start(t.Context(), componenttest.NewNopHost()))
		time.Sleep(time.Millisecond)
		for i := range 200 {
			request, now := pmetric.NewMetrics(), time.Now()
			if i == 0 {
				hit(request, "light", 1, now.Add(-time.Second), now)
			}
			hit(request, "heavy", 10, now.Add(-time.Second), now)
			require.NoError(t, metrics.ConsumeMetrics(t.Context(), request))
			time.Sleep(config.Interval)
		}
		require.NoError(t, metrics.Shutdown(t.Context()))
		require.NoError(t, logs.Shutdown(t.Context()))
		assert.Equal(t, []string{"tenant_series_folded light", "tenant_series_named heavy"}, told(events))
	})
}

// told returns the events' names and tenants.
func told(sink *consumertest.LogsSink) (found []string) {
	for _, logs := range sink.AllLogs() {
		for _, record := range logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
			tenant, _ := record.Attributes().Get("project_id")
			found = append(found, record.EventName()+" "+tenant.Str())
		}
	}
	return found
}

func TestWhatHasNoTenantPassesAsItIs(t *testing.T) {
	p, sink := started(t, defaults())
	require.NoError(t, p.ConsumeMetrics(t.Context(), testdata.GenerateMetrics(7)))
	assert.Equal(t, []pmetric.Metrics{testdata.GenerateMetrics(7)}, sink.AllMetrics())
	require.NoError(t, p.Shutdown(t.Context()))
}

// TestARequestThatIsRefusedWasNotCounted sends points with and without a tenant to somebody who takes none, then again.
func TestARequestThatIsRefusedWasNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink, full := new(consumertest.MetricsSink), true
		c := &collector{config: defaults(), directory: t.TempDir(), next: sink}
		c.config.Storage = &storageID
		c.up()
		c.hook(func() error {
			if full {
				return errRefused
			}
			return nil
		}, nil)
		request := testdata.GenerateMetrics(1)
		hits := pmetric.NewMetrics()
		hit(hits, "a", 3, time.Now().Add(-time.Second), time.Now())
		hits.ResourceMetrics().MoveAndAppendTo(request.ResourceMetrics())
		before := pmetric.NewMetrics()
		request.CopyTo(before)
		require.ErrorIs(t, c.processor.ConsumeMetrics(t.Context(), request), errRefused)
		full = false
		require.NoError(t, c.processor.ConsumeMetrics(t.Context(), request))
		assert.Equal(t, before, request, "whoever sent it may send it to others too")
		c.received = request.DataPointCount()
		c.down()
		require.NoError(t, errors.Join(c.errs...))
		assert.EqualValues(t, 3, lastValue(sink, "tenant.limit.hits", "a"))
	})
}

// lastValue returns the last value of a tenant's sum or gauge.
func lastValue(sink *consumertest.MetricsSink, name, tenant string) (value int64) {
	for _, metrics := range sink.AllMetrics() {
		for p := range numbers(metrics, name) {
			if project, _ := p.Attributes().Get("project_id"); project.Str() == tenant {
				value = p.IntValue()
			}
		}
	}
	return value
}

// numbers yields the points of a sum or gauge.
func numbers(metrics pmetric.Metrics, name string) iter.Seq[pmetric.NumberDataPoint] {
	return func(yield func(pmetric.NumberDataPoint) bool) {
		for _, resource := range metrics.ResourceMetrics().All() {
			for _, scope := range resource.ScopeMetrics().All() {
				for _, metric := range scope.Metrics().All() {
					points := pmetric.NewNumberDataPointSlice()
					switch metric.Type() {
					case pmetric.MetricTypeSum:
						points = metric.Sum().DataPoints()
					case pmetric.MetricTypeGauge:
						points = metric.Gauge().DataPoints()
					}
					for _, p := range points.All() {
						if metric.Name() == name && !yield(p) {
							return
						}
					}
				}
			}
		}
	}
}

// TestManySendAtOnce runs on the real clock, for the race detector.
func TestManySendAtOnce(t *testing.T) {
	const senders, requests = 4, 50
	config := defaults()
	config.Interval = minInterval
	p, sink := started(t, config)
	var sending sync.WaitGroup
	for sender := range senders {
		sending.Go(func() {
			for i := range requests {
				request, at := pmetric.NewMetrics(), time.Unix(int64(i), 0)
				for _, tenant := range []string{"a", "b", "c"} {
					hit(request, tenant, 1, at, at.Add(time.Second))
				}
				request.ResourceMetrics().At(0).Resource().Attributes().PutInt("process", int64(sender))
				assert.NoError(t, p.ConsumeMetrics(context.Background(), request))
			}
		})
	}
	sending.Wait()
	require.NoError(t, p.Shutdown(t.Context()))
	for _, tenant := range []string{"a", "b", "c"} {
		assert.EqualValues(t, senders*requests, lastValue(sink, "tenant.limit.hits", tenant), tenant)
	}
	assert.Error(t, p.ConsumeMetrics(t.Context(), pmetric.NewMetrics()), "it has stopped")
}

// TestAffectedTenantsAreCounted whether they are named or not, within a window.
func TestAffectedTenantsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := defaults()
		config.Budgets["pro"] = 1
		p, sink := started(t, config)
		time.Sleep(time.Millisecond)
		request := pmetric.NewMetrics()
		for i := range 40 {
			hit(request, fmt.Sprint("proj_", i), 1, time.Now().Add(-time.Second), time.Now())
		}
		require.NoError(t, p.ConsumeMetrics(t.Context(), request))
		time.Sleep(config.Interval)
		assert.EqualValues(t, 40, affected(sink))
		time.Sleep(2 * config.Affected.Window)
		assert.EqualValues(t, 0, affected(sink))
		require.NoError(t, p.Shutdown(t.Context()))
	})
}

func affected(sink *consumertest.MetricsSink) (value int64) {
	for _, metrics := range sink.AllMetrics() {
		for p := range numbers(metrics, "tenants.affected") {
			if metric, _ := p.Attributes().Get("metric"); metric.Str() == "tenant.limit.hits" {
				value = p.IntValue()
			}
		}
	}
	return value
}

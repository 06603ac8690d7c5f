package tenantcardinalityprocessor

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
)

const pointsPerRequest = 5000

// requests returns one delta point of 6 attributes for each tenant, in requests of one process each; and again, until
// there are so many requests that the clock need not be stopped often.
func requests(tenants int) []pmetric.Metrics {
	var all []pmetric.Metrics
	for next := 0; next < max(tenants, 50*min(tenants, pointsPerRequest)); next += min(tenants, pointsPerRequest) {
		first := next % tenants
		metrics := pmetric.NewMetrics()
		resource := metrics.ResourceMetrics().AppendEmpty()
		resource.Resource().Attributes().PutStr("service.name", "shop")
		resource.Resource().Attributes().PutStr("service.instance.id", fmt.Sprint("shop-", first))
		scope := resource.ScopeMetrics().AppendEmpty()
		scope.Scope().SetName("otel_dynabase")
		metric := scope.Metrics().AppendEmpty()
		metric.SetName("tenant.limit.hits")
		sum := metric.SetEmptySum()
		sum.SetIsMonotonic(true)
		sum.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		for tenant := first; tenant < min(first+pointsPerRequest, tenants); tenant++ {
			point := sum.DataPoints().AppendEmpty()
			point.SetIntValue(int64(tenant%7) + 1)
			point.Attributes().PutStr("project_id", fmt.Sprintf("proj_%08d", tenant))
			point.Attributes().PutStr("plan", []string{"enterprise", "pro", "starter", "free"}[min(tenant%400, 3)])
			point.Attributes().PutStr("tier", []string{"HOT", "WARM"}[tenant%2])
			point.Attributes().PutStr("database_type", "postgres")
			point.Attributes().PutStr("limit_type", "max_pool_size")
			point.Attributes().PutStr("action", "queued")
		}
		all = append(all, metrics)
	}
	return all
}

func setWindow(metrics pmetric.Metrics, from, to time.Time) {
	points := metrics.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Sum().DataPoints()
	for i := range points.Len() {
		points.At(i).SetStartTimestamp(pcommon.NewTimestampFromTime(from))
		points.At(i).SetTimestamp(pcommon.NewTimestampFromTime(to))
	}
}

// fleet sends the same streams again and again, each time with the next window.
type fleet struct {
	processor processor.Metrics
	requests  []pmetric.Metrics
	at        time.Time
}

// send sends so many points, or a few more.
func (f *fleet) send(b *testing.B, points int) {
	for i := 0; points > 0; i++ {
		if i%len(f.requests) == 0 {
			b.StopTimer()
			for _, request := range f.requests {
				setWindow(request, f.at, f.at.Add(time.Second))
				f.at = f.at.Add(time.Second)
			}
			b.StartTimer()
		}
		request := f.requests[i%len(f.requests)]
		require.NoError(b, f.processor.ConsumeMetrics(context.Background(), request))
		points -= request.DataPointCount()
	}
}

func heap() float64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

// BenchmarkConsume counts delta points of so many tenants; an operation is one point. B/stream is what one stream costs
// that is a tenant's only one: its share of everything, the tenant and its name included.
func BenchmarkConsume(b *testing.B) {
	for _, tenants := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint("tenants=", tenants), func(b *testing.B) {
			config := createDefaultConfig().(*Config)
			config.Interval = time.Hour
			made, err := NewFactory().CreateMetrics(
				context.Background(), processortest.NewNopSettings(componentType), config, consumertest.NewNop())
			require.NoError(b, err)
			require.NoError(b, made.Start(context.Background(), componenttest.NewNopHost()))
			before := heap()
			f := fleet{processor: made, at: time.Now(), requests: requests(tenants)}
			f.send(b, tenants)
			f.requests = nil
			size := (heap() - before) / float64(tenants)
			f.requests = requests(tenants)
			b.ReportAllocs()
			b.ResetTimer()
			f.send(b, b.N)
			b.StopTimer()
			b.ReportMetric(size, "B/stream")
			require.NoError(b, made.Shutdown(context.Background()))
		})
	}
}

package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

const (
	metrics    = 5
	selfPoints = 5
	batchSize  = 5_000
	batchCount = 20
	chunkSize  = batchSize * batchCount // points between two readings of the clock
)

var operations = []string{"SELECT", "INSERT", "UPDATE", "DELETE"}

// load is a fleet's delta sums, one stream a tenant, tenant after tenant in a random but fixed order.
type load struct {
	order []int
	next  int
	now   time.Time
}

// newLoad begins at a time that nothing is late for.
func newLoad(tenants int) *load {
	return &load{order: rand.New(rand.NewPCG(1, 1)).Perm(tenants), now: time.Now().Add(-24 * time.Hour)}
}

// chunk returns batches of points; each point's window begins where its stream's last one ended.
func (l *load) chunk() []pmetric.Metrics {
	batches := make([]pmetric.Metrics, batchCount)
	for i := range batches {
		batches[i] = l.batch()
	}
	return batches
}

func (l *load) batch() pmetric.Metrics {
	batch := pmetric.NewMetrics()
	resource := batch.ResourceMetrics().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "shop")
	resource.Resource().Attributes().PutStr("service.instance.id", "shop-1")
	scope := resource.ScopeMetrics().AppendEmpty()
	scope.Scope().SetName("otel_dynabase")
	var points [metrics]pmetric.NumberDataPointSlice
	for i := range points {
		metric := scope.Metrics().AppendEmpty()
		metric.SetName(fmt.Sprintf("db.queries.%d", i))
		sum := metric.SetEmptySum()
		sum.SetIsMonotonic(true)
		sum.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		points[i] = sum.DataPoints()
		points[i].EnsureCapacity(batchSize)
	}
	self := scope.Metrics().AppendEmpty() // what has no tenant, and passes: some of it is in every request of ours
	self.SetName("otel_dynabase.series")
	gauge := self.SetEmptyGauge()
	for range selfPoints {
		gauge.DataPoints().AppendEmpty().SetIntValue(1)
	}
	for range batchSize {
		tenant := l.order[l.next]
		write(points[tenant%metrics].AppendEmpty(), tenant, l.now)
		if l.next++; l.next == len(l.order) {
			l.next, l.now = 0, l.now.Add(time.Millisecond)
		}
	}
	return batch
}

// write fills a point: 70 % of the tenants are free, 20 % starter, 9 % pro, 1 % enterprise.
func write(point pmetric.NumberDataPoint, tenant int, now time.Time) {
	point.SetStartTimestamp(pcommon.NewTimestampFromTime(now.Add(-time.Millisecond)))
	point.SetTimestamp(pcommon.NewTimestampFromTime(now))
	point.SetIntValue(1)
	plan := "free"
	switch percent := tenant % 100; {
	case percent >= 99:
		plan = "enterprise"
	case percent >= 90:
		plan = "pro"
	case percent >= 70:
		plan = "starter"
	}
	attributes := point.Attributes()
	attributes.EnsureCapacity(6)
	attributes.PutStr("project_id", fmt.Sprintf("proj_%07d", tenant))
	attributes.PutStr("plan", plan)
	attributes.PutStr("tier", "HOT")
	attributes.PutStr("database_type", "postgres")
	attributes.PutStr("operation", operations[tenant%len(operations)])
	attributes.PutStr("status", "ok")
}

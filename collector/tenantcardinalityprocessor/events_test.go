package tenantcardinalityprocessor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/testdata"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/core"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func newTestEvents() *events {
	set := componenttest.NewNopTelemetrySettings()
	set.Resource.Attributes().PutStr("service.name", "collector")
	return newEvents(createDefaultConfig().(*Config), set)
}

func promotion(tenant string) core.Change {
	return core.Change{
		Tenant: tenant, Plan: "pro", Tier: "HOT", Named: true,
		Reason: core.Outweighed, Weight: 12, Error: 2, Counterpart: "proj_b",
	}
}

func TestAPromotionIsOneLogRecord(t *testing.T) {
	e, sink := newTestEvents(), new(consumertest.LogsSink)
	e.connect(sink)
	assert.Equal(t, eventOutcomes{sent: 1}, e.emit(t.Context(), noon, []core.Change{promotion("proj_a")}))
	require.Equal(t, 1, sink.LogRecordCount())
	resource := sink.AllLogs()[0].ResourceLogs().At(0)
	assert.Equal(t, map[string]any{"service.name": "collector"}, resource.Resource().Attributes().AsRaw())
	assert.Equal(t, "otel_dynabase", resource.ScopeLogs().At(0).Scope().Name())
	record := resource.ScopeLogs().At(0).LogRecords().At(0)
	assert.Equal(t, "tenant_series_named", record.EventName())
	assert.Equal(t, noon, record.Timestamp().AsTime())
	attributes := record.Attributes().AsRaw()
	id, err := uuid.Parse(attributes["event_id"].(string))
	require.NoError(t, err)
	assert.EqualValues(t, 7, id.Version())
	delete(attributes, "event_id")
	assert.Equal(t, map[string]any{
		"event_seq": int64(1), "project_id": "proj_a", "plan": "pro", "tier": "HOT", "reason": "outweighed",
		"weight": 12.0, "weight_error": 2.0, "counterpart_project_id": "proj_b",
	}, attributes)
}

func TestADemotionHasANameOfItsOwn(t *testing.T) {
	e, sink := newTestEvents(), new(consumertest.LogsSink)
	e.connect(sink)
	e.emit(t.Context(), noon, []core.Change{{Tenant: "proj_b", Reason: core.Silent}})
	record := sink.AllLogs()[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	assert.Equal(t, "tenant_series_folded", record.EventName())
	_, found := record.Attributes().Get("counterpart_project_id")
	assert.False(t, found)
}

func TestEventsWaitForAPipelineThatRefusesThem(t *testing.T) {
	e, refused := newTestEvents(), errors.New("full")
	e.connect(consumertest.NewErr(refused))
	assert.Equal(t, eventOutcomes{waiting: 1, err: refused}, e.emit(t.Context(), noon, []core.Change{promotion("a")}))
	assert.Equal(t, eventOutcomes{waiting: 2, err: refused}, e.emit(t.Context(), noon, []core.Change{promotion("b")}))
	sink := new(consumertest.LogsSink)
	e.connect(sink)
	assert.Equal(t, eventOutcomes{sent: 2}, e.emit(t.Context(), noon, nil))
	assert.Equal(t, eventOutcomes{}, e.emit(t.Context(), noon, nil))
	assert.Equal(t, []int64{1, 2}, sequences(sink))
}

func TestOfTooManyThatWaitTheOldestAreDropped(t *testing.T) {
	e, refused := newTestEvents(), errors.New("full")
	e.connect(consumertest.NewErr(refused))
	got := e.emit(t.Context(), noon, make([]core.Change, maxWaiting+3))
	assert.Equal(t, eventOutcomes{waiting: maxWaiting, dropped: 3, err: refused}, got)
	sink := new(consumertest.LogsSink)
	e.connect(sink)
	e.emit(t.Context(), noon, nil)
	assert.EqualValues(t, 4, sequences(sink)[0], "the gap in the sequence shows the loss")
}

func sequences(sink *consumertest.LogsSink) (found []int64) {
	for _, logs := range sink.AllLogs() {
		records := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
		for _, record := range records.All() {
			sequence, _ := record.Attributes().Get("event_seq")
			found = append(found, sequence.Int())
		}
	}
	return found
}

func TestWithoutALogsPipelineEventsAreOnlyCounted(t *testing.T) {
	e := newTestEvents()
	assert.Equal(t, eventOutcomes{unasked: 1}, e.emit(t.Context(), noon, []core.Change{promotion("a")}))
}

func TestWhoTakesEventsMayChangeThem(t *testing.T) {
	e := newTestEvents()
	spoil, err := consumer.NewLogs(func(_ context.Context, logs plog.Logs) error {
		logs.ResourceLogs().RemoveIf(func(plog.ResourceLogs) bool { return true })
		return errors.New("after all, no")
	})
	require.NoError(t, err)
	e.connect(spoil)
	e.emit(t.Context(), noon, []core.Change{promotion("a")})
	sink := new(consumertest.LogsSink)
	e.connect(sink)
	assert.Equal(t, eventOutcomes{sent: 1}, e.emit(t.Context(), noon, nil))
}

func TestLogsPassAsTheyAre(t *testing.T) {
	sink := new(consumertest.LogsSink)
	logs := &logsProcessor{next: sink, events: newTestEvents()}
	require.NoError(t, logs.Start(t.Context(), nil))
	sent := testdata.GenerateLogs(3)
	require.NoError(t, logs.ConsumeLogs(t.Context(), sent))
	assert.Equal(t, testdata.GenerateLogs(3), sink.AllLogs()[0])
	require.NoError(t, logs.Shutdown(t.Context()))
	assert.Equal(t, eventOutcomes{unasked: 1}, logs.events.emit(t.Context(), noon, []core.Change{promotion("a")}))
}

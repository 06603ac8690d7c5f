package tenantcardinalityprocessor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/core"
)

const (
	scopeName = "otel_dynabase"

	namedEvent  = "tenant_series_named"
	foldedEvent = "tenant_series_folded"

	// maxWaiting is how many events wait for a logs pipeline that does not take them: more are dropped, and counted.
	maxWaiting = 10_000
)

// events carries changes from the metrics pipeline, where they are decided, into the logs pipeline of the same component.
// The one may start or stop before the other.
type events struct {
	names    eventNames
	logger   *zap.Logger
	resource pcommon.Resource

	mu        sync.Mutex
	producing bool
	next      consumer.Logs // nil: no logs pipeline that runs
	sequence  int64         // counts up, so that a gap shows a loss
	waiting   plog.LogRecordSlice
}

// eventNames are the attributes that say whose event it is.
type eventNames struct{ tenant, plan, tier string }

// eventOutcomes is what became of events in one call.
type eventOutcomes struct {
	sent    int
	waiting int // for the next call, because of err
	dropped int // too many waited
	unasked int // there is no logs pipeline
	err     error
}

func newEvents(config *Config, set component.TelemetrySettings) *events {
	return &events{
		names:    eventNames{config.Tenant, config.Plan, config.Tier},
		logger:   set.Logger,
		resource: set.Resource,
		waiting:  plog.NewLogRecordSlice(),
	}
}

// produce lets one metrics processor produce events; it returns false if another one does.
func (e *events) produce() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	free := !e.producing
	e.producing = true
	return free
}

// retire lets another one produce.
func (e *events) retire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.producing = false
}

// connect says where events go; nil: nowhere any more.
func (e *events) connect(next consumer.Logs) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next = next
}

// emit sends the changes, and those that wait, as log records.
func (e *events) emit(ctx context.Context, now time.Time, changes []core.Change) eventOutcomes {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, change := range changes {
		e.logger.Debug("tenant's series changed", zap.Any("change", change))
	}
	if e.next == nil {
		unasked := len(changes) + e.waiting.Len()
		e.waiting = plog.NewLogRecordSlice()
		return eventOutcomes{unasked: unasked}
	}
	for _, change := range changes {
		e.sequence++
		e.names.write(e.waiting.AppendEmpty(), change, e.sequence, now)
	}
	count := e.waiting.Len()
	if count == 0 {
		return eventOutcomes{}
	}
	if err := e.next.ConsumeLogs(ctx, e.request()); err != nil {
		dropped := max(count-maxWaiting, 0)
		e.dropOldest(dropped)
		return eventOutcomes{waiting: count - dropped, dropped: dropped, err: err}
	}
	e.waiting = plog.NewLogRecordSlice()
	return eventOutcomes{sent: count}
}

// request copies what waits: who takes it may change it, and it may have to be sent again.
func (e *events) request() plog.Logs {
	logs := plog.NewLogs()
	resource := logs.ResourceLogs().AppendEmpty()
	e.resource.CopyTo(resource.Resource())
	scope := resource.ScopeLogs().AppendEmpty()
	scope.Scope().SetName(scopeName)
	e.waiting.CopyTo(scope.LogRecords())
	return logs
}

func (e *events) dropOldest(count int) {
	e.waiting.RemoveIf(func(plog.LogRecord) bool {
		count--
		return count >= 0
	})
}

func (n eventNames) write(record plog.LogRecord, change core.Change, sequence int64, now time.Time) {
	name, verb := foldedEvent, "lost"
	if change.Named {
		name, verb = namedEvent, "gained"
	}
	record.SetEventName(name)
	record.SetTimestamp(pcommon.NewTimestampFromTime(now))
	record.SetObservedTimestamp(pcommon.NewTimestampFromTime(now))
	record.SetSeverityNumber(plog.SeverityNumberInfo)
	record.SetSeverityText("INFO")
	record.Body().SetStr(fmt.Sprintf("%s %s series of its own: %s", change.Tenant, verb, change.Reason))
	attributes := record.Attributes()
	attributes.PutStr("event_id", uuid.Must(uuid.NewV7()).String())
	attributes.PutInt("event_seq", sequence)
	attributes.PutStr(n.tenant, change.Tenant)
	attributes.PutStr(n.plan, change.Plan)
	attributes.PutStr(n.tier, change.Tier)
	attributes.PutStr("reason", string(change.Reason))
	attributes.PutDouble("weight", change.Weight)
	attributes.PutDouble("weight_error", change.Error)
	if change.Counterpart != "" {
		attributes.PutStr("counterpart_"+n.tenant, change.Counterpart)
	}
}

// logsProcessor lets the events into a pipeline of logs, which pass through as they are.
type logsProcessor struct {
	next   consumer.Logs
	events *events
}

// Capabilities tells that what comes in is not changed.
func (*logsProcessor) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: false}
}

// Start opens the pipeline for events.
func (p *logsProcessor) Start(context.Context, component.Host) error {
	p.events.connect(p.next)
	return nil
}

// Shutdown closes it: who comes next in the pipeline stops after this.
func (p *logsProcessor) Shutdown(context.Context) error {
	p.events.connect(nil)
	return nil
}

// ConsumeLogs passes logs on.
func (p *logsProcessor) ConsumeLogs(ctx context.Context, logs plog.Logs) error {
	return p.next.ConsumeLogs(ctx, logs)
}

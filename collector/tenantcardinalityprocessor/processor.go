package tenantcardinalityprocessor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor"
	"go.uber.org/zap"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/core"
)

// metricsProcessor counts what has a tenant, forwards what has none, and sends the outputs at each interval.
type metricsProcessor struct {
	config *Config
	set    processor.Settings
	next   consumer.Metrics
	events *events

	state      *core.State
	decoder    *decoder    // used while the state is locked
	checkpoint *checkpoint // nil: the state is lost with the process
	telemetry  *telemetry
	discarded  bool // there was a stored state that could not be used

	mu      sync.RWMutex // held for reading while points are counted, so that nothing is counted after the last flush
	stopped bool
	stop    context.CancelFunc
	flushes sync.WaitGroup
}

// newProcessor returns a processor that has not started.
func newProcessor(config *Config, set processor.Settings, next consumer.Metrics, events *events) (*metricsProcessor, error) {
	return &metricsProcessor{config: config, set: set, next: next, events: events, decoder: newDecoder(config)}, nil
}

// Capabilities tells that what comes in is not changed.
func (p *metricsProcessor) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: false}
}

// Start restores the state and begins to flush.
func (p *metricsProcessor) Start(ctx context.Context, host component.Host) (err error) {
	if p.checkpoint, err = openCheckpoint(ctx, host, p.set.ID, p.config.Storage); err != nil {
		return err
	}
	if err = p.restore(ctx); err != nil {
		return err
	}
	if p.telemetry, err = newTelemetry(p.set.TelemetrySettings, p.state.Stats); err != nil {
		return err
	}
	if p.discarded {
		p.telemetry.stateDiscarded(ctx)
	}
	// Not the context of Start, which ends with it.
	ctx, p.stop = context.WithCancel(context.Background())
	p.flushes.Go(func() { p.run(ctx) })
	return nil
}

// restore makes a state of what is stored. What cannot be used is thrown away: telemetry begins anew, and says so.
func (p *metricsProcessor) restore(ctx context.Context) error {
	now := time.Now()
	p.state = core.New(p.config.settings(now), now)
	if p.checkpoint == nil {
		return nil
	}
	pages, err := p.checkpoint.load(ctx)
	switch {
	case err == nil && len(pages) == 0:
		p.state = core.New(p.config.settings(time.Time{}), now)
		return nil
	case err == nil:
		err = p.state.Load(pages, now)
	case !errors.Is(err, errUnusable):
		return fmt.Errorf("storage: %s: %w", p.config.Storage, err)
	}
	if err == nil {
		return nil
	}
	p.set.Logger.Warn("The stored state cannot be used: all series begin anew at 0", zap.Error(err))
	p.state = core.New(p.config.settings(now), now)
	p.discarded = true
	return p.checkpoint.clear(ctx)
}

func (p *metricsProcessor) run(ctx context.Context) {
	ticker := time.NewTicker(p.config.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.flush(ctx)
		}
	}
}

// Shutdown flushes and stores the state for the last time.
func (p *metricsProcessor) Shutdown(ctx context.Context) error {
	if p.stop == nil { // it never started, or has stopped
		return nil
	}
	p.stop()
	p.stop = nil
	p.flushes.Wait()
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	p.flush(ctx)
	errs := []error{p.telemetry.shutdown()}
	if p.checkpoint != nil {
		errs = append(errs, p.checkpoint.close(ctx))
	}
	p.events.retire()
	return errors.Join(errs...)
}

// flush stores the state and sends the outputs, in this order: what is stored is never behind what was sent. Without
// storage for the moment, sending goes on.
func (p *metricsProcessor) flush(ctx context.Context) {
	began := time.Now()
	output := p.state.Flush(began)
	metrics := encode(output)
	p.save(ctx, p.state.Dirty())
	if err := p.next.ConsumeMetrics(ctx, metrics); err == nil {
		p.save(ctx, p.state.Sent())
	} else {
		p.set.Logger.Warn("The next component did not take a flush; the next one carries its sums", zap.Error(err))
		p.telemetry.sendFailed(ctx)
	}
	p.telemetry.emitted(ctx, p.events.emit(ctx, began, output.Changes))
	p.telemetry.flushed(ctx, time.Since(began))
}

func (p *metricsProcessor) save(ctx context.Context, pages map[string][]byte) {
	if p.checkpoint == nil || len(pages) == 0 {
		return
	}
	began := time.Now()
	written, err := p.checkpoint.save(ctx, pages)
	if err != nil {
		p.set.Logger.Warn("The state could not be stored; the next checkpoint carries it", zap.Error(err))
	}
	p.telemetry.checkpointed(ctx, time.Since(began), written, err)
}

// ConsumeMetrics forwards the points without a tenant, then counts the others: if the next component does not take the
// former, nothing was counted yet, and the sender may send all of it again.
func (p *metricsProcessor) ConsumeMetrics(ctx context.Context, metrics pmetric.Metrics) error {
	points := censusOf(metrics, p.config.Tenant)
	if points.others > 0 {
		others := metrics
		if points.tenants > 0 {
			others = othersOf(metrics, p.config.Tenant)
		}
		if err := p.next.ConsumeMetrics(ctx, others); err != nil {
			return err
		}
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.stopped {
		return errStopped
	}
	batch := p.state.Begin(time.Now())
	defer batch.End()
	batch.Count(core.Passed, points.others)
	if points.tenants > 0 {
		p.decoder.count(batch, metrics)
	}
	return nil
}

var errStopped = errors.New("tenant_cardinality has stopped")

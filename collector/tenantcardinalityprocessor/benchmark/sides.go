package main

import (
	"context"
	"fmt"

	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/metricstransformprocessor"
	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/transformprocessor"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"

	tenantcardinality "github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor"
)

// kept is what is left when the tenant is aggregated away.
var kept = []any{"plan", "tier", "database_type", "operation", "status"}

// side is a processor and how it is configured. Ours has its defaults, but flushes only when it stops.
type side struct {
	name    string
	factory processor.Factory
	config  map[string]any
}

var sides = []side{
	{"tenant_cardinality", tenantcardinality.NewFactory(), map[string]any{
		"interval": "24h", "stale_after": "24h", "stream_timeout": "48h",
	}},
	{"metricstransform", metricstransformprocessor.NewFactory(), map[string]any{
		"transforms": []any{map[string]any{
			"include": "db.queries.*", "match_type": "regexp", "action": "update",
			"operations": []any{map[string]any{
				"action": "aggregate_labels", "label_set": kept, "aggregation_type": "sum",
			}},
		}},
	}},
	{"transform", transformprocessor.NewFactory(), map[string]any{
		"metric_statements": []any{map[string]any{
			"context": "metric", "statements": []any{fmt.Sprintf(`aggregate_on_attributes("sum", %s)`, list(kept))},
		}},
	}},
}

func list(names []any) string {
	written := "["
	for i, name := range names {
		if i > 0 {
			written += ", "
		}
		written += fmt.Sprintf("%q", name)
	}
	return written + "]"
}

// start returns a running processor that sends to nowhere.
func (s side) start(ctx context.Context) (processor.Metrics, error) {
	config := s.factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(s.config).Unmarshal(config); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	if err := confmap.Validate(config); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	made, err := s.factory.CreateMetrics(ctx, processortest.NewNopSettings(s.factory.Type()), config, consumertest.NewNop())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return made, made.Start(ctx, componenttest.NewNopHost())
}

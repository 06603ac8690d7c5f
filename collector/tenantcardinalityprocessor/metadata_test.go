package tenantcardinalityprocessor

import (
	"cmp"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.yaml.in/yaml/v3"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/core"
)

// metadata is what is looked at of metadata.yaml.
type metadata struct {
	Type   string
	Status struct {
		Class     string
		Stability map[string][]string
	}
	Attributes map[string]struct{ Description, Type string }
	Telemetry  struct{ Metrics map[string]declared }
}

type declared struct {
	Enabled           bool
	Description, Unit string
	Stability         string
	Sum, Gauge        *struct {
		ValueType string `yaml:"value_type"`
		Monotonic bool
		Async     bool
	}
	Histogram *struct {
		ValueType  string    `yaml:"value_type"`
		Boundaries []float64 `yaml:"bucket_boundaries"`
	}
	Attributes []string
}

func readMetadata(t *testing.T) metadata {
	content, err := os.ReadFile("metadata.yaml")
	require.NoError(t, err)
	var read metadata
	require.NoError(t, yaml.Unmarshal(content, &read))
	return read
}

func TestMetadataSaysWhatTheFactoryDoes(t *testing.T) {
	read, factory := readMetadata(t), NewFactory()
	assert.Equal(t, read.Type, factory.Type().String())
	assert.Equal(t, "processor", read.Status.Class)
	levels := map[string]component.StabilityLevel{"metrics": factory.MetricsStability(), "logs": factory.LogsStability()}
	for level, signals := range read.Status.Stability {
		for _, signal := range signals {
			assert.Equal(t, level, strings.ToLower(levels[signal].String()), signal)
			delete(levels, signal)
		}
	}
	assert.Empty(t, levels, "signals without a stability")
	assert.Equal(t, component.StabilityLevelUndefined, factory.TracesStability())
}

// TestMetadataSaysWhatIsMeasured makes every metric have a value and compares what a reader sees.
func TestMetadataSaysWhatIsMeasured(t *testing.T) {
	reader := componenttest.NewTelemetry()
	defer func() { require.NoError(t, reader.Shutdown(t.Context())) }()
	stats := core.Stats{Plans: []core.PlanStats{{Plan: "pro", Named: 1, Folded: 2}}}
	own, err := newTelemetry(reader.NewTelemetrySettings(), func() core.Stats { return stats })
	require.NoError(t, err)
	own.flushed(t.Context(), time.Second)
	own.sendFailed(t.Context())
	own.checkpointed(t.Context(), time.Second, 1, nil)
	own.checkpointed(t.Context(), time.Second, 1, assert.AnError)
	own.stateDiscarded(t.Context())
	own.emitted(t.Context(), eventOutcomes{sent: 1})

	read := readMetadata(t)
	measured := measuredMetrics(t, reader)
	assert.Equal(t, slices.Sorted(maps.Keys(read.Telemetry.Metrics)), slices.Sorted(maps.Keys(measured)))
	for name, metric := range measured {
		want := read.Telemetry.Metrics[name]
		assert.True(t, want.Enabled, name)
		assert.Equal(t, "alpha", want.Stability, name)
		assert.Equal(t, want.Description, metric.Description, name)
		assert.Equal(t, want.Unit, metric.Unit, name)
		assert.ElementsMatch(t, want.Attributes, sameForm(t, name, want, metric), name)
		for _, key := range want.Attributes {
			assert.Contains(t, read.Attributes, key, name)
		}
	}
	require.NoError(t, own.shutdown())
}

func measuredMetrics(t *testing.T, reader *componenttest.Telemetry) map[string]metricdata.Metrics {
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Reader.Collect(t.Context(), &all))
	require.Len(t, all.ScopeMetrics, 1)
	assert.Equal(t, meterName, all.ScopeMetrics[0].Scope.Name)
	found := map[string]metricdata.Metrics{}
	for _, metric := range all.ScopeMetrics[0].Metrics {
		found[strings.TrimPrefix(metric.Name, "otelcol_")] = metric
	}
	return found
}

// sameForm checks that a metric is of the kind that is declared, and returns its attributes' keys.
func sameForm(t *testing.T, name string, want declared, metric metricdata.Metrics) []string {
	keys := map[string]bool{}
	add := func(set attribute.Set) {
		for _, pair := range set.ToSlice() {
			keys[string(pair.Key)] = true
		}
	}
	switch data := metric.Data.(type) {
	case metricdata.Sum[int64]:
		require.NotNil(t, want.Sum, name)
		assert.Equal(t, want.Sum.Monotonic, data.IsMonotonic, name)
		for _, point := range data.DataPoints {
			add(point.Attributes)
		}
	case metricdata.Gauge[int64]:
		require.NotNil(t, want.Gauge, name)
		for _, point := range data.DataPoints {
			add(point.Attributes)
		}
	case metricdata.Histogram[float64]:
		require.NotNil(t, want.Histogram, name)
		assert.Equal(t, want.Histogram.Boundaries, data.DataPoints[0].Bounds, name)
	default:
		t.Errorf("%s: %T", name, data)
	}
	return slices.Collect(maps.Keys(keys))
}

// options returns every option of a configuration by its path, with its default.
func options(prefix string, config reflect.Value) map[string]any {
	found := map[string]any{}
	for i := range config.NumField() {
		name := config.Type().Field(i).Tag.Get("mapstructure")
		switch field := config.Field(i); {
		case name == "":
		case field.Kind() == reflect.Struct:
			maps.Copy(found, options(prefix+name+": ", field))
		default:
			found[prefix+name] = field.Interface()
		}
	}
	return found
}

// shown writes a default as README.md does, in YAML.
func shown(value any) string {
	switch v := value.(type) {
	case *component.ID:
		return "none"
	case time.Duration:
		return strings.Replace(strings.Replace(v.String(), "m0s", "m", 1), "h0m", "h", 1)
	case map[string]int:
		return flow(v)
	case map[string]float64:
		return flow(v)
	case map[string][]string:
		return "{}"
	case []string:
		return "[" + strings.Join(v, ", ") + "]"
	case string:
		if v == "" {
			return "none"
		}
	}
	content, _ := yaml.Marshal(value)
	return strings.TrimSpace(string(content))
}

func flow[V cmp.Ordered](values map[string]V) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		pairs = append(pairs, key+": "+shown(values[key]))
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}

func TestReadmeHasEveryOptionWithItsDefault(t *testing.T) {
	content, err := os.ReadFile("README.md")
	require.NoError(t, err)
	found := options("", reflect.ValueOf(createDefaultConfig()).Elem())
	for option, value := range found {
		assert.Contains(t, string(content), "\n| `"+option+"` | `"+shown(value)+"` | ")
	}
	rows := strings.Count(string(content), "\n| `") - len(readMetadata(t).Telemetry.Metrics)
	assert.Equal(t, len(found), rows, "rows of options that do not exist")
}

func TestReadmeHasEveryMetric(t *testing.T) {
	content, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for name, metric := range readMetadata(t).Telemetry.Metrics {
		name = strings.TrimPrefix(name, "processor_tenant_cardinality_")
		if len(metric.Attributes) > 0 {
			name += "{" + strings.Join(metric.Attributes, ", ") + "}"
		}
		assert.Contains(t, string(content), "\n| `"+name+"` | "+metric.Description+" |")
	}
}

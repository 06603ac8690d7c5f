package tenantcardinalityprocessor

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/core"
)

func TestTheDefaultsAreValid(t *testing.T) {
	config := createDefaultConfig()
	require.NoError(t, confmap.Validate(config))
	require.NoError(t, componenttest.CheckConfigStruct(config))
}

func TestOptionsAreReadByTheirNames(t *testing.T) {
	config := createDefaultConfig().(*Config)
	require.NoError(t, confmap.NewFromStringMap(map[string]any{
		"interval":   "2s",
		"budgets":    map[string]any{"free": 7, "trial": 3},
		"never_fold": []any{"gold"},
		"attributes": map[string]any{"db.queries": []any{"tier", "status"}},
		"rank":       map[string]any{"by": map[string]any{"db.query.duration": 0.5}, "min_stay": "1m"},
		"gauges":     map[string]any{"default": "max", "sum": []any{"tenant.memory.usage"}, "max": []any{}},
		"storage":    "file_storage/state",
	}).Unmarshal(config))
	require.NoError(t, confmap.Validate(config))
	assert.Equal(t, 2*time.Second, config.Interval)
	assert.Equal(t, map[string]int{"free": 7, "starter": 200, "pro": 500, "trial": 3}, config.Budgets)
	assert.Equal(t, []string{"gold"}, config.NeverFold)
	assert.InEpsilon(t, 0.5, config.Rank.By["db.query.duration"], 0)
	assert.InEpsilon(t, 20, config.Rank.By["tenant.limit.hits"], 0)
	assert.Equal(t, component.MustNewIDWithName("file_storage", "state"), *config.Storage)
	settings := config.settings(time.Unix(1, 0))
	assert.Equal(t, core.FoldMax, settings.GaugeFold)
	assert.Equal(t, map[string]core.Fold{"tenant.memory.usage": core.FoldSum}, settings.Gauges)
	assert.Equal(t, map[string][]string{"db.queries": {"tier", "status"}}, settings.Attributes)
	assert.Equal(t, time.Unix(1, 0), settings.Since)
}

func TestAnUnknownOptionIsAnError(t *testing.T) {
	err := confmap.NewFromStringMap(map[string]any{"budget": 3}).Unmarshal(createDefaultConfig())
	assert.ErrorContains(t, err, "budget")
}

func TestErrorsNameTheFieldWhatWasFoundAndWhatIsAllowed(t *testing.T) {
	for message, change := range map[string]func(*Config){
		"interval: 1ms: must be at least 10ms":                                func(c *Config) { c.Interval = time.Millisecond },
		"tenant: is empty: must be a name":                                    func(c *Config) { c.Tenant = "" },
		"plan: is empty: must be a name":                                      func(c *Config) { c.Plan = "" },
		"tier: is empty: must be a name":                                      func(c *Config) { c.Tier = "" },
		"other: is empty: must be a name":                                     func(c *Config) { c.Other = "" },
		`tenant, plan, tier: "a", "plan", "a": must be three different`:       func(c *Config) { c.Tenant, c.Tier = "a", "a" },
		"keep: has an empty name: remove it":                                  func(c *Config) { c.Keep = []string{""} },
		`keep: "a" is there twice: remove one`:                                func(c *Config) { c.Keep = []string{"a", "a"} },
		`attributes: db.queries: "a" is there twice: remove one`:              func(c *Config) { c.Attributes = map[string][]string{"db.queries": {"a", "a"}} },
		`never_fold: "a" is there twice: remove one`:                          func(c *Config) { c.NeverFold = []string{"a", "a"} },
		"also_folded: has an empty name: remove it":                           func(c *Config) { c.AlsoFolded = []string{""} },
		`also_folded: "tier": is the plan or the tier, which are never`:       func(c *Config) { c.AlsoFolded = []string{"tier"} },
		"budgets: pro: -1: must be from 0 to 2147483647":                      func(c *Config) { c.Budgets["pro"] = -1 },
		"default_budget: -1: must be from 0 to 2147483647":                    func(c *Config) { c.DefaultBudget = -1 },
		"max_series: 0: must be from 1 to 2147483647":                         func(c *Config) { c.MaxSeries = 0 },
		"max_streams: 0: must be from 1 to 2147483647":                        func(c *Config) { c.MaxStreams = 0 },
		"stale_after: 1s: must be at least 10s":                               func(c *Config) { c.StaleAfter = time.Second },
		"stream_timeout: 1m0s: must be at least 5m0s":                         func(c *Config) { c.StreamTimeout = time.Minute },
		"rank: half_life: 0s: must be at least 1s":                            func(c *Config) { c.Rank.HalfLife = 0 },
		"rank: enter: 0.5: must be a number of at least 1":                    func(c *Config) { c.Rank.Enter = 0.5 },
		"rank: enter: NaN: must be a number of at least 1":                    func(c *Config) { c.Rank.Enter = math.NaN() },
		"rank: min_stay: -1s: must be at least 0s":                            func(c *Config) { c.Rank.MinStay = -time.Second },
		"rank: candidates: 0: must be from 1 to 1000":                         func(c *Config) { c.Rank.Candidates = 0 },
		"rank: by: a: -1: must be a number of at least 0; 0: does not count":  func(c *Config) { c.Rank.By["a"] = -1 },
		"rank: by: a: +Inf: must be a number of at least 0":                   func(c *Config) { c.Rank.By["a"] = math.Inf(1) },
		`gauges: default: "mean": must be sum or max`:                         func(c *Config) { c.Gauges.Default = "mean" },
		`gauges: sum, max: "tenant.current_tier" is in both; leave it in one`: func(c *Config) { c.Gauges.Sum = []string{"tenant.current_tier"} },
		"affected: window: 0s: must be at least 1s":                           func(c *Config) { c.Affected.Window = 0 },
		"affected: metrics: has an empty name: remove it":                     func(c *Config) { c.Affected.Metrics = []string{""} },
	} {
		config := createDefaultConfig().(*Config)
		change(config)
		assert.ErrorContains(t, confmap.Validate(config), message)
	}
}

func TestAllErrorsAreToldAtOnce(t *testing.T) {
	config := createDefaultConfig().(*Config)
	config.MaxSeries, config.Other = 0, ""
	err := confmap.Validate(config)
	assert.ErrorContains(t, err, "max_series")
	assert.ErrorContains(t, err, "other")
}

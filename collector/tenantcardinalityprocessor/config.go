package tenantcardinalityprocessor

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/core"
)

// Config is what README.md explains: every option is there, with its default.
type Config struct {
	// Interval is how often outputs are sent.
	Interval time.Duration `mapstructure:"interval"`

	// Tenant, Plan and Tier name the attributes: the one that explodes, the one that has a budget, and the one that is
	// kept beside the plan when all others have to go.
	Tenant string `mapstructure:"tenant"`
	Plan   string `mapstructure:"plan"`
	Tier   string `mapstructure:"tier"`

	// Keep lists the resource attributes that outputs keep; all others are summed away.
	Keep []string `mapstructure:"keep"`
	// Replica is the service.instance.id of the outputs; empty: none.
	Replica string `mapstructure:"replica"`

	// Attributes lists, by metric, the attributes that its series keep beside Tenant and Plan; all others are summed
	// away. A metric that is not there keeps all.
	Attributes map[string][]string `mapstructure:"attributes"`

	// Budgets says how many tenants of a plan may have series of their own; DefaultBudget, of plans not named there.
	Budgets       map[string]int `mapstructure:"budgets"`
	DefaultBudget int            `mapstructure:"default_budget"`
	// NeverFold lists plans whose tenants all have series of their own, as far as MaxSeries lets them.
	NeverFold []string `mapstructure:"never_fold"`
	// Other is what the tenant of a folded series is called.
	Other string `mapstructure:"other"`
	// AlsoFolded lists attributes that would keep a folded tenant apart: they become Other too.
	AlsoFolded []string `mapstructure:"also_folded"`

	// MaxSeries and MaxStreams are hard bounds: of output series as Prometheus counts them, and of remembered inputs.
	MaxSeries  int `mapstructure:"max_series"`
	MaxStreams int `mapstructure:"max_streams"`

	// StreamTimeout is for how long a silent resource is remembered.
	StreamTimeout time.Duration `mapstructure:"stream_timeout"`
	// StaleAfter is for how long the gauges of a silent resource count, and a series without streams lives.
	StaleAfter time.Duration `mapstructure:"stale_after"`

	Rank     RankConfig     `mapstructure:"rank"`
	Gauges   GaugesConfig   `mapstructure:"gauges"`
	Affected AffectedConfig `mapstructure:"affected"`

	// ZeroPoints puts a 0 before a series' first value.
	ZeroPoints bool `mapstructure:"zero_points"`
	// Storage is the storage extension that the state is kept in; nil: it is lost with the process.
	Storage *component.ID `mapstructure:"storage"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// RankConfig says whose series are worth having, once a plan's budget is full.
type RankConfig struct {
	// By has the weight of one increment of each metric that counts, of one value of a histogram's.
	By map[string]float64 `mapstructure:"by"`
	// HalfLife is how long ago an increment must be to count half.
	HalfLife time.Duration `mapstructure:"half_life"`
	// Enter is by what factor a challenger must outweigh the lightest named tenant.
	Enter float64 `mapstructure:"enter"`
	// MinStay is for how long a tenant keeps its name once it has one.
	MinStay time.Duration `mapstructure:"min_stay"`
	// Candidates is how many tenants of a plan are weighed for each place in its budget.
	Candidates int `mapstructure:"candidates"`

	_ struct{}
}

// Fold is how the gauges of several tenants, or of several processes, become one.
type Fold string

// The ways to fold a gauge.
const (
	FoldSum Fold = "sum"
	FoldMax Fold = "max"
)

// GaugesConfig says how gauges fold.
type GaugesConfig struct {
	Default Fold `mapstructure:"default"`
	// Sum and Max list metrics that fold in that way, whatever the default is.
	Sum []string `mapstructure:"sum"`
	Max []string `mapstructure:"max"`

	_ struct{}
}

// AffectedConfig says which metrics tell of tenants in trouble.
type AffectedConfig struct {
	Metrics []string      `mapstructure:"metrics"`
	Window  time.Duration `mapstructure:"window"`

	_ struct{}
}

func createDefaultConfig() component.Config {
	return &Config{
		Interval:      10 * time.Second,
		Tenant:        "project_id",
		Plan:          "plan",
		Tier:          "tier",
		Keep:          []string{"service.name", "service.namespace", "deployment.environment.name"},
		Budgets:       map[string]int{"free": 0, "starter": 200, "pro": 500},
		DefaultBudget: 100,
		NeverFold:     []string{"enterprise"},
		Other:         "_other",
		AlsoFolded:    []string{"db.client.connection.pool.name"},
		MaxSeries:     200_000,
		MaxStreams:    1_000_000,
		StreamTimeout: time.Hour,
		StaleAfter:    5 * time.Minute,
		Rank: RankConfig{
			By: map[string]float64{
				"db.query.duration":            1,
				"db.errors":                    5,
				"tenant.limit.hits":            20,
				"tenant.connection.rejections": 20,
			},
			HalfLife:   time.Hour,
			Enter:      1.5,
			MinStay:    10 * time.Minute,
			Candidates: 4,
		},
		Gauges: GaugesConfig{
			Default: FoldSum,
			Max: []string{ // a state or an age: the catalogue says fold="max" of them
				"circuit_breaker.state",
				"tenant.activity_state",
				"tenant.active_hours_per_day",
				"tenant.current_tier",
				"tenant.tier.duration",
			},
		},
		Affected: AffectedConfig{
			Metrics: []string{
				"tenant.limit.hits",
				"tenant.connection.rejections",
				"db.errors",
				"tenant.cold_starts",
				"circuit_breaker.open",
			},
			Window: 5 * time.Minute,
		},
		ZeroPoints: true,
	}
}

// minInterval leaves room for a zero point between two flushes: timestamps in Prometheus are whole milliseconds.
const minInterval = 10 * time.Millisecond

// Validate returns every error of the configuration; those of Rank, Gauges and Affected are theirs.
func (c *Config) Validate() error {
	errs := []error{
		atLeast("interval", c.Interval, minInterval),
		c.validateAttributes(),
		noGaps("keep", c.Keep),
		noGaps("never_fold", c.NeverFold),
		notEmpty("other", c.Other),
		between("default_budget", c.DefaultBudget, 0, math.MaxInt32),
		between("max_series", c.MaxSeries, 1, math.MaxInt32),
		between("max_streams", c.MaxStreams, 1, math.MaxInt32),
		atLeast("stale_after", c.StaleAfter, c.Interval),
		atLeast("stream_timeout", c.StreamTimeout, c.StaleAfter),
	}
	for _, metric := range slices.Sorted(maps.Keys(c.Attributes)) {
		errs = append(errs, noGaps("attributes: "+metric, c.Attributes[metric]))
	}
	for _, plan := range slices.Sorted(maps.Keys(c.Budgets)) {
		errs = append(errs, between("budgets: "+plan, c.Budgets[plan], 0, math.MaxInt32))
	}
	return errors.Join(errs...)
}

// validateAttributes sees that each attribute has one part to play.
func (c *Config) validateAttributes() error {
	errs := []error{notEmpty("tenant", c.Tenant), notEmpty("plan", c.Plan), notEmpty("tier", c.Tier)}
	if c.Tenant == c.Plan || c.Tenant == c.Tier || c.Plan == c.Tier {
		errs = append(errs, fmt.Errorf(
			"tenant, plan, tier: %q, %q, %q: must be three different attributes", c.Tenant, c.Plan, c.Tier))
	}
	errs = append(errs, noGaps("also_folded", c.AlsoFolded))
	for _, attribute := range c.AlsoFolded {
		if attribute == c.Plan || attribute == c.Tier {
			errs = append(errs, fmt.Errorf(
				"also_folded: %q: is the plan or the tier, which are never folded; leave it out", attribute))
		}
	}
	return errors.Join(errs...)
}

// Validate returns every error of the ranking.
func (c *RankConfig) Validate() error {
	errs := []error{
		atLeast("half_life", c.HalfLife, time.Second),
		atLeast("min_stay", c.MinStay, 0),
		between("candidates", c.Candidates, 1, 1000),
	}
	if !(c.Enter >= 1) || math.IsInf(c.Enter, 1) {
		errs = append(errs, fmt.Errorf("enter: %v: must be a number of at least 1", c.Enter))
	}
	for _, metric := range slices.Sorted(maps.Keys(c.By)) {
		if weight := c.By[metric]; !(weight >= 0) || math.IsInf(weight, 1) {
			errs = append(errs, fmt.Errorf("by: %s: %v: must be a number of at least 0; 0: does not count", metric, weight))
		}
	}
	return errors.Join(errs...)
}

// Validate returns every error of the gauges' folds.
func (c *GaugesConfig) Validate() error {
	errs := []error{noGaps("sum", c.Sum), noGaps("max", c.Max)}
	if c.Default != FoldSum && c.Default != FoldMax {
		errs = append(errs, fmt.Errorf("default: %q: must be sum or max", c.Default))
	}
	for _, metric := range c.Sum {
		if slices.Contains(c.Max, metric) {
			errs = append(errs, fmt.Errorf("sum, max: %q is in both; leave it in one", metric))
		}
	}
	return errors.Join(errs...)
}

// Validate returns every error of what is told of affected tenants.
func (c *AffectedConfig) Validate() error {
	return errors.Join(noGaps("metrics", c.Metrics), atLeast("window", c.Window, time.Second))
}

// replica returns the attribute that tells this processor's outputs from another one's.
func (c *Config) replica() []core.Attribute {
	if c.Replica == "" {
		return nil
	}
	return []core.Attribute{{Key: "service.instance.id", Value: core.String(c.Replica)}}
}

func notEmpty(field, value string) error {
	if value == "" {
		return fmt.Errorf("%s: is empty: must be a name", field)
	}
	return nil
}

func noGaps(field string, values []string) error {
	seen := make(map[string]bool, len(values))
	for _, value := range values {
		if value == "" {
			return fmt.Errorf("%s: has an empty name: remove it", field)
		}
		if seen[value] {
			return fmt.Errorf("%s: %q is there twice: remove one", field, value)
		}
		seen[value] = true
	}
	return nil
}

func between(field string, value, low, high int) error {
	if value < low || value > high {
		return fmt.Errorf("%s: %d: must be from %d to %d", field, value, low, high)
	}
	return nil
}

func atLeast(field string, value, low time.Duration) error {
	if value < low {
		return fmt.Errorf("%s: %s: must be at least %s", field, value, low)
	}
	return nil
}

// settings returns what the core takes of it; since is when it began to count.
func (c *Config) settings(since time.Time) core.Settings {
	folds := map[Fold]core.Fold{FoldSum: core.FoldSum, FoldMax: core.FoldMax}
	gauges := make(map[string]core.Fold, len(c.Gauges.Sum)+len(c.Gauges.Max))
	for _, metric := range c.Gauges.Sum {
		gauges[metric] = core.FoldSum
	}
	for _, metric := range c.Gauges.Max {
		gauges[metric] = core.FoldMax
	}
	return core.Settings{
		Tenant:         c.Tenant,
		Plan:           c.Plan,
		Tier:           c.Tier,
		Attributes:     c.Attributes,
		Budgets:        c.Budgets,
		DefaultBudget:  c.DefaultBudget,
		NeverFold:      c.NeverFold,
		Other:          c.Other,
		AlsoFolded:     c.AlsoFolded,
		MaxSeries:      c.MaxSeries,
		MaxStreams:     c.MaxStreams,
		StreamTimeout:  c.StreamTimeout,
		StaleAfter:     c.StaleAfter,
		Weights:        c.Rank.By,
		HalfLife:       c.Rank.HalfLife,
		Enter:          c.Rank.Enter,
		MinStay:        c.Rank.MinStay,
		Candidates:     c.Rank.Candidates,
		GaugeFold:      folds[c.Gauges.Default],
		Gauges:         gauges,
		Affected:       c.Affected.Metrics,
		AffectedWindow: c.Affected.Window,
		ZeroPoints:     c.ZeroPoints,
		Keep:           c.Keep,
		Self:           c.replica(),
		Since:          since,
	}
}

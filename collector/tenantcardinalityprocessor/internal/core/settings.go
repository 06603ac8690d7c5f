// Package core decides, for every point of a metric, by how much it increases which series of the output.
//
// It has no pdata, no I/O and no clock: points go in by a Batch, series come out by Flush, what has to outlive the
// process by Dirty and Load. One lock guards a State; a Batch holds it from Begin to End.
package core

import "time"

// Settings is what a State is made of. Zero values are meant as they are: defaults belong to the configuration.
type Settings struct {
	Tenant string // the attribute that explodes
	Plan   string // the attribute that has a budget
	Tier   string // the attribute that, with the plan, is left when even folding is not enough

	// Keep and Self are the resource attributes that outputs keep, and those of what the processor says itself.
	Keep []string
	Self []Attribute

	// Attributes has, by metric, the attributes that its series keep, beside Tenant and Plan; the others are summed away.
	// A metric that is not in it keeps all.
	Attributes map[string][]string

	Budgets       map[string]int // by plan: how many tenants have series of their own
	DefaultBudget int            // of all other plans
	NeverFold     []string       // plans without a budget

	Other      string   // the tenant of folded series
	AlsoFolded []string // attributes that become Other too

	MaxSeries     int           // as Prometheus counts them
	MaxStreams    int           // input streams remembered
	StreamTimeout time.Duration // after which a silent resource is forgotten, with its streams
	StaleAfter    time.Duration // after which silent gauges stop counting, and series without streams end

	Weights    map[string]float64 // by metric: the weight of one increment
	HalfLife   time.Duration
	Enter      float64 // by how much a challenger must outweigh
	MinStay    time.Duration
	Candidates int // the summary's size, times the budget (at least 1000)

	GaugeFold Fold            // of gauges that are not in Gauges
	Gauges    map[string]Fold // by metric

	Affected       []string // metrics whose tenants are counted
	AffectedWindow time.Duration

	ZeroPoints bool
	// Since is when the first State of this history began: streams that began later are known from their first point on.
	// Zero: there never was one before. Load replaces it by what was stored.
	Since time.Time
}

// Fold is how the gauges of several tenants or processes become one.
type Fold uint8

// The folds of gauges.
const (
	FoldSum Fold = iota
	FoldMax
)

// kept returns, by metric, the set of attributes that its series keep.
func (s *Settings) kept() map[string]map[string]bool {
	kept := make(map[string]map[string]bool, len(s.Attributes))
	for metric, attributes := range s.Attributes {
		kept[metric] = map[string]bool{s.Tenant: true, s.Plan: true}
		for _, attribute := range attributes {
			kept[metric][attribute] = true
		}
	}
	return kept
}

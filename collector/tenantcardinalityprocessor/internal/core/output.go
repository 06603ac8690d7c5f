package core

// Output is what a flush sends. It shares memory with the State: it is valid until the next Flush, and not to be changed.
type Output struct {
	Time    int64         // of the flush, as in the points: always later than the last one's
	Points  []OutputPoint // those of one family one after the other, those of one series in the order of time
	Changes []Change
}

// OutputPoint is one point to send.
type OutputPoint struct {
	Family      *Family
	Attributes  []Attribute
	Start       int64 // 0 for gauges
	Time        int64
	NoValue     bool // a stale marker; that of a histogram has its bounds and as many zero counts
	Number      Number
	Explicit    *Explicit
	Exponential *Exponential
	Exemplars   []Exemplar
}

// Family is what the series of one output metric have in common. Histograms are cumulative, and so are sums.
type Family struct {
	Kept        []Attribute // of the resource
	Scope       string
	Name        string
	Unit        string
	Description string
	Kind        Kind
	Monotonic   bool

	Group Identity // of Kept

	number   uint32
	identity Identity
	series   map[Identity]uint32 // alive, by their attributes
	members  []uint32            // the same
	keep     map[string]bool     // attributes of its series; nil: all
	fold     Fold
	cost     int       // of a new series
	bounds   []float64 // of its last histogram
	weight   float64
	affected *watch
}

// Change is one tenant that gained or lost series of its own by ranking, not at first sight.
type Change struct {
	Tenant, Plan, Tier string
	Named              bool   // it gained them
	Reason             Reason // why
	Weight, Error      float64
	Counterpart        string // the tenant that lost or gained them instead; empty if nobody did
}

// Reason is why a tenant gained or lost its series.
type Reason string

// The reasons of changes.
const (
	Outweighed Reason = "outweighed" // one outweighed the other
	Silent     Reason = "silent"     // one has had no live stream
	Room       Reason = "room"       // there was a place
	Budget     Reason = "budget"     // the budget was made smaller
)

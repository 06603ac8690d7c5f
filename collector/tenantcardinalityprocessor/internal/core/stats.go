package core

// Outcome is what became of a point.
type Outcome uint8

// The outcomes of points.
const (
	Accepted  Outcome = iota
	Duplicate         // counted before
	Late              // of a start time that has passed
	Refused           // cannot be counted: no value, no temporality, malformed, or a limit is reached
	Baseline          // a cumulative stream's first, of which it is not known what was counted before: 0
	Reset             // counted in full: its value fell under one start time
	Passed            // of no tenant, forwarded as it is
	Outcomes  = int(Passed) + 1
)

func (o Outcome) String() string {
	return [Outcomes]string{"accepted", "duplicate", "late", "refused", "baseline", "reset", "passed"}[o]
}

// Stats is what a State says of itself. Counts are since it began.
type Stats struct {
	Points      [Outcomes]uint64
	Streams     int // remembered
	StreamLimit int
	Streamless  uint64 // delta points counted without a stream, so that duplicates among them were not seen
	Series      int    // live, as Prometheus counts them
	SeriesLimit int
	Resources   int
	Plans       []PlanStats // sorted by name
	Promotions  uint64
	Demotions   uint64
	Overflow    uint64 // points counted under otel.metric.overflow
	Squeezed    uint64 // points of named tenants that were folded because the limit of series was reached
	Trimmed     uint64 // points that have attributes that their series do not keep
	Rebucketed  uint64 // histograms restarted with fewer bounds
	Untold      uint64 // ends of series that nobody took for so long that Prometheus would refuse them
	Conflicts   uint64 // metrics that share a name with one of another kind or unit
}

// PlanStats is how many tenants of a plan are live.
type PlanStats struct {
	Plan          string
	Named, Folded int
}

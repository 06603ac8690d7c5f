package core

import (
	"slices"
	"sync"
	"time"
)

// State is all that is remembered.
type State struct {
	mu       sync.Mutex
	settings Settings
	batch    Batch
	stats    Stats

	since    int64  // when the first State of this history began; 0: there never was one before
	previous int64  // the time of the last flush
	stored   int64  // … as it was stored
	epoch    uint32 // changes when streams have to be routed again
	squeezed bool   // there was no room for a series since the last flush

	resources       slab[resource]
	resourceNumbers map[Identity]uint32
	streams         table[stream, *stream]
	tenants         table[tenant, *tenant]
	series          slab[series]
	families        slab[*Family]
	familyNumbers   map[Identity]uint32
	sorted          []*Family
	unsorted        bool             // sorted is not up to date
	names           map[Identity]int // of families, by what their series are called
	plans           []*plan
	planNumbers     map[string]uint16
	tiers           []string
	tierNumbers     map[string]uint16
	explicits       slab[Explicit]    // the last values of cumulative histograms
	exponentials    slab[Exponential] // … and of exponential ones
	affected        map[string]*watch // by metric
	affectedFamily  *Family
	kept            map[string]map[string]bool // by metric: the attributes of its series

	folded  int      // tenants that lost their names since the last flush
	ended   []ending // series whose end was not sent yet
	flushed int      // how many of them are in the last output
	unsent  []uint32 // series in the last output whose beginning was not sent before
	output  Output
	arena   arena
	scratch []Attribute
	trimmed bool // the series placed last keeps only some attributes
}

// resource is a process that streams come from.
type resource struct {
	identity Identity // 0: free
	group    Identity // of kept
	kept     []Attribute
	first    int64  // the time of its first point
	refused  bool   // there was no room for one of its cumulative streams: one that is new may have begun long ago
	seen     uint32 // s since 1970, when it last came
}

// New returns an empty State.
func New(settings Settings, now time.Time) *State {
	s := &State{
		settings: settings, previous: now.UnixNano(), epoch: 1,
		resourceNumbers: map[Identity]uint32{}, familyNumbers: map[Identity]uint32{}, names: map[Identity]int{},
		planNumbers: map[string]uint16{}, tiers: []string{""}, tierNumbers: map[string]uint16{"": 0},
	}
	if !settings.Since.IsZero() {
		s.since = settings.Since.UnixNano()
	}
	s.affected = watches(settings)
	s.kept = settings.kept()
	s.affectedFamily = affectedFamily(settings)
	s.addPlan("")
	s.batch.state = s
	return s
}

// Begin locks the State until End.
func (s *State) Begin(now time.Time) *Batch {
	s.mu.Lock()
	s.batch.now, s.batch.second = now, seconds(now)
	s.batch.part = partOf(s.batch.second, s.settings.AffectedWindow)
	return &s.batch
}

// Stats returns what there is now.
func (s *State) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Streams, stats.StreamLimit = s.streams.used, s.settings.MaxStreams
	stats.SeriesLimit = s.settings.MaxSeries
	stats.Resources = s.resources.used
	stats.Plans = s.planStats()
	return stats
}

// resourceOf returns the number of a resource, which may be new.
func (s *State) resourceOf(r Resource) uint32 {
	number, known := s.resourceNumbers[r.Identity]
	if !known {
		var added *resource
		number, added = s.resources.take()
		*added = resource{identity: r.Identity, kept: r.Kept.Append(nil)}
		added.group = identityOf(added.kept)
		s.resourceNumbers[r.Identity] = number
	}
	s.resources.at(number).seen = s.batch.second
	return number
}

// forget forgets a resource; its streams are gone already.
func (s *State) forget(number uint32) {
	delete(s.resourceNumbers, s.resources.at(number).identity)
	s.resources.release(number)
}

func equalBounds(a, b []float64) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

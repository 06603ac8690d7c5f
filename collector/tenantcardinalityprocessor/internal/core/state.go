package core

import (
	"sync"
	"time"
)

// State is all that is remembered.
type State struct {
	mu       sync.Mutex
	settings Settings
	batch    Batch
	stats    Stats
}

// New returns an empty State.
func New(settings Settings) *State {
	s := &State{settings: settings}
	s.batch.state = s
	return s
}

// Batch counts points: for each Resource its metrics, for each Metric its points.
type Batch struct {
	state *State
	now   time.Time
}

// Begin locks the State until End.
func (s *State) Begin(now time.Time) *Batch {
	s.mu.Lock()
	s.batch.now = now
	return &s.batch
}

// End unlocks the State.
func (b *Batch) End() { b.state.mu.Unlock() }

// Resource says whose the next metrics are.
func (b *Batch) Resource(Resource) {}

// Metric says what the next points are of.
func (b *Batch) Metric(*Metric) {}

// Number counts a point of a sum or a gauge.
func (b *Batch) Number(*Point, Number) {}

// Explicit counts a point of a histogram with explicit bounds.
func (b *Batch) Explicit(*Point, *Explicit) {}

// Exponential counts a point of an exponential histogram.
func (b *Batch) Exponential(*Point, *Exponential) {}

// Count adds to an outcome what the core never sees: points that pass, points that are no numbers.
func (b *Batch) Count(outcome Outcome, points int) { b.state.stats.Points[outcome] += uint64(points) }

// Flush ranks the tenants and returns what is to be sent.
func (s *State) Flush(time.Time) *Output { return &Output{} }

// Stats returns what there is now.
func (s *State) Stats() Stats { return s.stats }

// Dirty returns the pages that changed since the last call, nil for one that is no more. What was ever returned, later
// pages over earlier ones, is the State at the moment of the last call.
func (s *State) Dirty() map[string][]byte { return nil }

// Load restores an empty State from such pages; it is as of now. After an error the State is to be thrown away.
func (s *State) Load(pages map[string][]byte, now time.Time) error { return nil }

package core

import (
	"math"
	"slices"
	"sort"
)

// Explicit counts a point of a histogram with explicit bounds.
func (b *Batch) Explicit(p *Point, h *Explicit) {
	b.resolve()
	if p.NoValue {
		b.end(p)
		return
	}
	bounds, valid := b.family.known(h.Bounds)
	counts := h.Counts
	if len(counts) == 0 && len(bounds) == 0 {
		b.single[0] = h.Count
		counts = b.single[:]
	}
	if !valid || len(counts) != len(bounds)+1 || !countsAre(h.Count, 0, counts) {
		b.Count(Refused, 1)
		return
	}
	b.family.cost = explicitCost(bounds)
	st, sr := b.find(p)
	if sr == nil {
		return
	}
	if sr.explicit == nil {
		sr.explicit = &Explicit{HasSum: true, Bounds: bounds, Counts: make([]uint64, len(counts))}
	}
	value := Explicit{Count: h.Count, Bounds: bounds, Counts: counts}
	if h.HasSum && FloatNumber(h.Sum).finite() {
		value.HasSum, value.Sum = true, h.Sum
	}
	if st.is(isDelta) {
		if b.window(st, p) {
			b.increaseExplicit(st, sr, p, p.Start, &value)
		}
		return
	}
	b.cumulativeExplicit(st, sr, p, &value)
}

// countsAre tells whether counts, and another one, add up to their total. More than a float64 can count exactly is no
// histogram either: it might overflow.
func countsAre(total, other uint64, counts ...[]uint64) bool {
	rest := total
	if total > 1<<53 || other > rest {
		return false
	}
	rest -= other
	for _, side := range counts {
		for _, count := range side {
			if count > rest {
				return false
			}
			rest -= count
		}
	}
	return rest == 0
}

// explicitCost is how many series Prometheus makes of a histogram: its buckets with that of +Inf, its sum and its count.
func explicitCost(bounds []float64) int { return len(bounds) + 3 }

// known returns bounds that may be kept, and whether they are in order. Those of a family's points are mostly the same.
func (f *Family) known(bounds []float64) ([]float64, bool) {
	if f.bounds != nil && equalBounds(f.bounds, bounds) {
		return f.bounds, true
	}
	for i, bound := range bounds {
		if math.IsNaN(bound) || i > 0 && bound <= bounds[i-1] {
			return nil, false
		}
	}
	f.bounds = append([]float64{}, bounds...)
	return f.bounds, true
}

func (b *Batch) cumulativeExplicit(st *stream, sr *series, p *Point, value *Explicit) {
	from, step, outcome := b.advance(st, p)
	if step == drop {
		b.Count(outcome, 1)
		return
	}
	last := b.state.explicitOf(st)
	d := &b.explicit
	switch step {
	case difference:
		if !d.difference(value, last) {
			outcome = Reset
			d.set(value)
		}
	case whole:
		d.set(value)
	case baseline:
		d.set(value)
		d.Count, d.Sum = 0, 0
		clear(d.Counts)
	}
	last.set(value)
	b.Count(outcome, 1)
	b.increaseExplicit(st, sr, p, from, d)
}

// explicitOf returns a stream's memory.
func (s *State) explicitOf(st *stream) *Explicit {
	if st.memory == 0 {
		st.memory, _ = s.explicits.take()
	}
	return s.explicits.at(st.memory)
}

// set makes h a copy of another value, in the memory that it has.
func (h *Explicit) set(other *Explicit) {
	counts := append(h.Counts[:0], other.Counts...)
	*h = *other
	h.Counts = counts
}

// difference makes h the increase from last to value, over the bounds that they share. It reports whether nothing fell.
func (h *Explicit) difference(value, last *Explicit) bool {
	if value.Count < last.Count {
		return false
	}
	h.set(value)
	if !equalBounds(value.Bounds, last.Bounds) {
		shared := intersect(value.Bounds, last.Bounds)
		before := Explicit{Bounds: last.Bounds, Counts: slices.Clone(last.Counts)}
		before.rebucket(shared)
		h.rebucket(shared)
		last = &Explicit{Count: last.Count, Sum: last.Sum, HasSum: last.HasSum, Bounds: shared, Counts: before.Counts}
	}
	for i, count := range last.Counts {
		if h.Counts[i] < count {
			return false
		}
		h.Counts[i] -= count
	}
	h.Count -= last.Count
	h.Sum -= last.Sum
	h.HasSum = h.HasSum && last.HasSum
	return true
}

// intersect returns the bounds that are in both.
func intersect(a, b []float64) []float64 {
	shared := make([]float64, 0, min(len(a), len(b)))
	for _, bound := range a {
		if _, found := slices.BinarySearch(b, bound); found {
			shared = append(shared, bound)
		}
	}
	return shared
}

// rebucket merges buckets until only the given bounds are left, which are some of its own: all counts stay exact.
func (h *Explicit) rebucket(bounds []float64) {
	merged, next := 0, 0
	for i := range h.Counts {
		count := h.Counts[i]
		h.Counts[i] = 0
		h.Counts[merged] += count
		if i < len(h.Bounds) && next < len(bounds) && h.Bounds[i] == bounds[next] {
			merged++
			next++
		}
	}
	h.Counts, h.Bounds = h.Counts[:merged+1], bounds
}

// increaseExplicit counts the values of a histogram. Series and values of different bounds are counted over the bounds
// that they share: those of a value are merged freely; those of a series cannot change, so it ends and begins anew.
func (b *Batch) increaseExplicit(st *stream, sr *series, p *Point, from int64, d *Explicit) {
	out := sr.explicit
	if !equalBounds(out.Bounds, d.Bounds) {
		shared := intersect(out.Bounds, d.Bounds)
		if len(shared) < len(out.Bounds) {
			out = b.state.rebucket(sr, shared)
		}
		d.Counts = append(b.explicit.Counts[:0], d.Counts...)
		b.explicit.Counts = d.Counts
		d.rebucket(out.Bounds)
	}
	out.Count += d.Count
	out.Sum += d.Sum
	out.HasSum = out.HasSum && d.HasSum
	for i, count := range d.Counts {
		out.Counts[i] += count
	}
	b.counted(st, sr, from, float64(d.Count))
	for i := range p.Exemplars {
		b.keep(sr, p, i, sort.SearchFloat64s(out.Bounds, p.Exemplars[i].Value.AsFloat()))
	}
}

// rebucket leaves a series with fewer bounds. If it was in an output it ends there, and begins anew at 0.
func (s *State) rebucket(sr *series, bounds []float64) *Explicit {
	out := sr.explicit
	s.stats.Rebucketed++
	s.stats.Series += explicitCost(bounds) - sr.cost
	sr.cost = explicitCost(bounds)
	sr.exemplars = nil
	if !sr.begun {
		out.rebucket(bounds)
		return out
	}
	s.ended = append(s.ended, sr.ending(s.previous+tick, s.previous+2*tick))
	sr.begun, sr.sent, sr.start = false, false, math.MaxInt64
	sr.explicit = &Explicit{HasSum: out.HasSum, Bounds: bounds, Counts: make([]uint64, len(bounds)+1)}
	return sr.explicit
}

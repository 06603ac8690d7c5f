// Package heavy finds the heaviest keys of a stream in memory of a fixed size.
//
// It is Space-Saving (Metwally, Agrawal, El Abbadi: "Efficient Computation of Frequent and Top-k Elements in Data
// Streams", 2005) for weighted increments, under exponential forward decay (Cormode, Shkapenyuk, Srivastava, Xu: "Forward
// Decay", 2009): what was added one half-life ago counts half. Decay multiplies everything alike, so the order of the
// keys, and with it every bound of Space-Saving, is untouched by it.
//
// With W the decayed weight of everything added and k the summary's size, at any time and for every key:
//
//	High − Error ≤ true weight ≤ High  and  Error ≤ W/k
//
// and every key that weighs more than W/k is in the summary. Sums are of float64: the bounds hold up to its rounding.
// The same calls give the same summary: no random numbers, no order of a map.
package heavy

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"time"
)

// Entry is one key with its weight at the time of asking: truly between High − Error and High.
type Entry[K comparable] struct {
	Key   K
	High  float64
	Error float64
}

// Low returns the weight that is certain.
func (e Entry[K]) Low() float64 { return e.High - e.Error }

// Summary keeps at most a fixed number of keys. It is not safe for concurrent use.
type Summary[K comparable] struct {
	size     int
	halfLife time.Duration
	// Weights inside are those of the landmark: a weight of the time t is kept times 2^((t − landmark) / halfLife).
	landmark time.Time
	total    float64
	entries  []Entry[K]
	slots    map[K]int32 // where in entries a key is
	heap     []int32     // slots, the lightest first
	places   []int32     // of each slot in the heap: moving there touches no map
	now      time.Time   // of the last call,
	scale    float64     // and what it multiplies weights by
}

// maxExponent is how many half-lives the landmark may lie back: far from what a float64 overflows at.
const maxExponent = 256

// New returns an empty summary of at most size keys, at least one.
func New[K comparable](size int, halfLife time.Duration) *Summary[K] {
	size = max(size, 1)
	return &Summary[K]{size: size, halfLife: max(halfLife, 1), slots: make(map[K]int32)}
}

// Add counts a weight for a key. A weight that is not a positive number counts nothing.
func (s *Summary[K]) Add(key K, weight float64, now time.Time) {
	if !(weight > 0) || math.IsInf(weight, 1) {
		return
	}
	weight *= s.scaleAt(now)
	s.total += weight
	slot, known := s.slots[key]
	switch {
	case known:
		s.entries[slot].High += weight
		s.sink(int(s.places[slot]))
	case len(s.entries) < s.size:
		s.append(Entry[K]{Key: key, High: weight})
		s.rise(len(s.heap) - 1)
	default: // it takes the lightest one's place, and may have weighed as much before
		slot = s.heap[0]
		lightest := s.entries[slot]
		delete(s.slots, lightest.Key)
		s.slots[key] = slot
		s.entries[slot] = Entry[K]{Key: key, High: lightest.High + weight, Error: lightest.High}
		s.sink(0)
	}
}

func (s *Summary[K]) append(entry Entry[K]) {
	slot := int32(len(s.entries))
	s.entries = append(s.entries, entry)
	s.slots[entry.Key] = slot
	s.heap = append(s.heap, slot)
	s.places = append(s.places, slot)
}

// Bounds returns a key's weight now. One that is not in the summary weighs at most what the lightest one there does.
func (s *Summary[K]) Bounds(key K, now time.Time) Entry[K] {
	scale := s.scaleAt(now)
	if slot, known := s.slots[key]; known {
		return scaled(s.entries[slot], scale)
	}
	if len(s.entries) < s.size {
		return Entry[K]{Key: key}
	}
	high := s.entries[s.heap[0]].High / scale
	return Entry[K]{Key: key, High: high, Error: high}
}

// Heaviest returns the entries, those with the most certain weight first; equal ones as they lie in the heap.
func (s *Summary[K]) Heaviest(now time.Time) []Entry[K] {
	entries := slices.Collect(s.All(now))
	slices.SortStableFunc(entries, func(a, b Entry[K]) int { return cmp.Compare(b.Low(), a.Low()) })
	return entries
}

// Total returns the decayed weight of everything added, W; no error is above Total/Size.
func (s *Summary[K]) Total(now time.Time) float64 { return s.total / s.scaleAt(now) }

// Len returns how many keys are in the summary.
func (s *Summary[K]) Len() int { return len(s.entries) }

// Size returns how many keys there may be.
func (s *Summary[K]) Size() int { return s.size }

// All yields the entries as they lie in the heap: in this order Restore takes them.
func (s *Summary[K]) All(now time.Time) iter.Seq[Entry[K]] {
	scale := s.scaleAt(now)
	return func(yield func(Entry[K]) bool) {
		for _, slot := range s.heap {
			if !yield(scaled(s.entries[slot], scale)) {
				return
			}
		}
	}
}

// Restore makes the summary what All and Total told of one at the time now. Of more entries than the summary's size it
// keeps the heaviest; those that are no weights are left out.
func (s *Summary[K]) Restore(entries []Entry[K], total float64, now time.Time) {
	kept := slices.DeleteFunc(slices.Clone(entries), func(e Entry[K]) bool {
		return !(e.High > 0 && e.Error >= 0 && e.Error <= e.High) || math.IsInf(e.High, 1)
	})
	if len(kept) > s.size {
		slices.SortStableFunc(kept, func(a, b Entry[K]) int { return cmp.Compare(b.High, a.High) })
		kept = kept[:s.size]
	}
	s.entries, s.slots, s.heap, s.places = nil, make(map[K]int32, len(kept)), nil, nil
	s.total, s.landmark, s.now, s.scale = total, now, now, 1
	for _, entry := range kept {
		s.append(entry)
	}
	for place := len(s.heap)/2 - 1; place >= 0; place-- { // nothing moves if it was a heap
		s.sink(place)
	}
}

func scaled[K comparable](entry Entry[K], scale float64) Entry[K] {
	return Entry[K]{Key: entry.Key, High: entry.High / scale, Error: entry.Error / scale}
}

// scaleAt returns what a weight of a time is multiplied by to be one of the landmark's.
func (s *Summary[K]) scaleAt(now time.Time) float64 {
	if s.scale != 0 && now.Equal(s.now) {
		return s.scale
	}
	if s.landmark.IsZero() {
		s.landmark = now
	}
	exponent := float64(now.Sub(s.landmark)) / float64(s.halfLife)
	if exponent > maxExponent {
		exponent -= s.moveLandmark(exponent)
	}
	s.now, s.scale = now, math.Exp2(max(exponent, -maxExponent))
	return s.scale
}

// moveLandmark moves the landmark by whole half-lives and returns how many: powers of two leave no rounding behind.
func (s *Summary[K]) moveLandmark(exponent float64) float64 {
	whole := math.Floor(exponent)
	s.landmark = s.landmark.Add(time.Duration(whole * float64(s.halfLife)))
	factor := math.Exp2(-whole)
	s.total *= factor
	for i := range s.entries {
		s.entries[i].High *= factor
		s.entries[i].Error *= factor
	}
	return whole
}

func (s *Summary[K]) rise(place int) {
	for place > 0 {
		parent := (place - 1) / 2
		if s.weight(parent) <= s.weight(place) {
			return
		}
		s.swap(place, parent)
		place = parent
	}
}

func (s *Summary[K]) sink(place int) {
	for {
		child := 2*place + 1
		if child >= len(s.heap) {
			return
		}
		if right := child + 1; right < len(s.heap) && s.weight(right) < s.weight(child) {
			child = right
		}
		if s.weight(place) <= s.weight(child) {
			return
		}
		s.swap(place, child)
		place = child
	}
}

func (s *Summary[K]) weight(place int) float64 { return s.entries[s.heap[place]].High }

func (s *Summary[K]) swap(a, b int) {
	s.heap[a], s.heap[b] = s.heap[b], s.heap[a]
	s.places[s.heap[a]], s.places[s.heap[b]] = int32(a), int32(b)
}

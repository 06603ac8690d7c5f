package core

import (
	"math"
)

const (
	maxBuckets = 160 // of each side, as in the SDKs
	maxScale   = 20
	minScale   = -10
)

// Exponential counts a point of an exponential histogram.
func (b *Batch) Exponential(p *Point, h *Exponential) {
	b.resolve()
	if p.NoValue {
		b.end(p)
		return
	}
	value := &b.value
	if !value.take(h) {
		b.Count(Refused, 1)
		return
	}
	st, sr := b.find(p)
	if sr == nil {
		return
	}
	if sr.exponential == nil {
		sr.exponential = &Exponential{HasSum: true, Scale: value.Scale, ZeroThreshold: value.ZeroThreshold}
	}
	if st.is(isDelta) {
		if b.window(st, p) {
			b.increaseExponential(st, sr, p, p.Start, value)
		}
		return
	}
	b.cumulativeExponential(st, sr, p, value)
}

func (b *Batch) cumulativeExponential(st *stream, sr *series, p *Point, value *Exponential) {
	from, step, outcome := b.advance(st, p)
	if step == drop {
		b.Count(outcome, 1)
		return
	}
	last, d := b.state.exponentialOf(st), &b.exponential
	d.set(value)
	switch step {
	case difference:
		if !d.subtract(last) {
			outcome = Reset
			d.set(value)
		}
	case baseline:
		d.set(&Exponential{HasSum: value.HasSum, Scale: value.Scale, ZeroThreshold: value.ZeroThreshold})
	}
	last.set(value)
	b.Count(outcome, 1)
	b.increaseExponential(st, sr, p, from, d)
}

// exponentialOf returns a stream's memory.
func (s *State) exponentialOf(st *stream) *Exponential {
	if st.memory == 0 {
		st.memory, _ = s.exponentials.take()
	}
	return s.exponentials.at(st.memory)
}

func (s *State) releaseMemory(st *stream) {
	switch {
	case st.memory == 0:
	case st.is(isExplicit):
		s.explicits.release(st.memory)
	case st.is(isExponential):
		s.exponentials.release(st.memory)
	}
}

func (b *Batch) increaseExponential(st *stream, sr *series, p *Point, from int64, d *Exponential) {
	b.counted(st, sr, from, float64(d.Count))
	sr.exponential.merge(d)
	b.keepFew(sr, p)
}

// take makes e a copy of what came in, within our bounds of scale and buckets. It reports whether that is a histogram.
func (e *Exponential) take(h *Exponential) bool {
	if h.Scale < minScale || !(h.ZeroThreshold >= 0) || math.IsInf(h.ZeroThreshold, 1) ||
		!countsAre(h.Count, h.ZeroCount, h.Positive.Counts, h.Negative.Counts) {
		return false
	}
	e.set(h)
	if e.HasSum = h.HasSum && FloatNumber(h.Sum).finite(); !e.HasSum {
		e.Sum = 0
	}
	if !e.Positive.possible(h.Scale) || !e.Negative.possible(h.Scale) {
		return false
	}
	by := max(0, e.Scale-maxScale)
	for e.Positive.span(by) > maxBuckets || e.Negative.span(by) > maxBuckets {
		by++
	}
	e.downscale(by)
	return true
}

// possible tells whether the buckets are those of numbers that a float64 can be.
func (b *Buckets) possible(scale int32) bool {
	low := math.Ldexp(float64(b.Offset), -int(scale))
	high := math.Ldexp(float64(b.Offset)+float64(len(b.Counts)), -int(scale))
	return len(b.Counts) == 0 || low >= -1100 && high <= 1100
}

// set makes e a copy of another value, in the memory that it has.
func (e *Exponential) set(other *Exponential) {
	positive, negative := e.Positive.Counts, e.Negative.Counts
	*e = *other
	e.Positive.copyTo(positive)
	e.Negative.copyTo(negative)
}

// copyTo moves the buckets to other memory, without empty ones at either end.
func (b *Buckets) copyTo(counts []uint64) {
	from, to := 0, len(b.Counts)
	for from < to && b.Counts[from] == 0 {
		from++
	}
	for from < to && b.Counts[to-1] == 0 {
		to--
	}
	b.Counts = append(counts[:0], b.Counts[from:to]...)
	if b.Offset += int32(from); len(b.Counts) == 0 {
		b.Offset = 0
	}
}

// span returns how many buckets there would be after halving the resolution by times.
func (b *Buckets) span(by int32) int64 {
	if len(b.Counts) == 0 {
		return 0
	}
	first, last := int64(b.Offset), int64(b.Offset)+int64(len(b.Counts))-1
	return last>>by - first>>by + 1
}

// downscale halves the resolution by times: each two buckets become one.
func (e *Exponential) downscale(by int32) {
	if by > 0 {
		e.Scale -= by
		e.Positive.downscale(by)
		e.Negative.downscale(by)
	}
}

func (b *Buckets) downscale(by int32) {
	if len(b.Counts) == 0 {
		return
	}
	first, offset := int64(b.Offset), int64(b.Offset)>>by
	length := b.span(by)
	for i := range b.Counts {
		count := b.Counts[i]
		b.Counts[i] = 0
		b.Counts[(first+int64(i))>>by-offset] += count
	}
	b.Offset, b.Counts = int32(offset), b.Counts[:length]
}

// align brings two histograms to one scale and one zero threshold: the coarser and the wider one.
func (e *Exponential) align(other *Exponential) {
	scale := min(e.Scale, other.Scale)
	e.downscale(e.Scale - scale)
	other.downscale(other.Scale - scale)
	for e.ZeroThreshold != other.ZeroThreshold {
		threshold := max(e.ZeroThreshold, other.ZeroThreshold)
		e.widen(threshold)
		other.widen(threshold)
	}
}

// widen widens the zero bucket to a threshold. If that lies within a bucket that has counts, it takes all of that.
func (e *Exponential) widen(threshold float64) {
	for _, side := range []*Buckets{&e.Positive, &e.Negative} {
		for len(side.Counts) > 0 && bound(side.Offset, e.Scale) < threshold {
			if side.Counts[0] > 0 {
				threshold = max(threshold, bound(side.Offset+1, e.Scale))
				e.ZeroCount += side.Counts[0]
			}
			side.Offset++
			side.Counts = side.Counts[:copy(side.Counts, side.Counts[1:])]
		}
	}
	e.ZeroThreshold = max(e.ZeroThreshold, threshold)
}

// bound returns the lower bound of a bucket.
func bound(index, scale int32) float64 { return math.Exp2(math.Ldexp(float64(index), -int(scale))) }

// merge adds a histogram, at the coarser of both scales or below it, until no side has more than maxBuckets. It may
// change the other one's resolution.
func (e *Exponential) merge(d *Exponential) {
	e.align(d)
	by := int32(0)
	for e.Positive.with(&d.Positive, by) > maxBuckets || e.Negative.with(&d.Negative, by) > maxBuckets {
		by++
	}
	e.downscale(by)
	d.downscale(by)
	e.Count += d.Count
	e.ZeroCount += d.ZeroCount
	e.Sum += d.Sum
	e.HasSum = e.HasSum && d.HasSum
	e.Positive.add(&d.Positive)
	e.Negative.add(&d.Negative)
}

// with returns how many buckets there would be together with others, after halving the resolution by times.
func (b *Buckets) with(other *Buckets, by int32) int64 {
	switch {
	case len(other.Counts) == 0:
		return b.span(by)
	case len(b.Counts) == 0:
		return other.span(by)
	}
	first := min(int64(b.Offset), int64(other.Offset))
	last := max(int64(b.Offset)+int64(len(b.Counts)), int64(other.Offset)+int64(len(other.Counts))) - 1
	return last>>by - first>>by + 1
}

// add adds buckets of the same scale.
func (b *Buckets) add(other *Buckets) {
	if len(other.Counts) == 0 {
		return
	}
	if len(b.Counts) == 0 {
		b.Offset = other.Offset
	}
	length := int(b.with(other, 0))
	if before := int(b.Offset - other.Offset); before > 0 {
		b.grow(length)
		copy(b.Counts[before:], b.Counts[:length-before])
		clear(b.Counts[:before])
		b.Offset = other.Offset
	}
	b.grow(length)
	for i, count := range other.Counts {
		b.Counts[int(other.Offset-b.Offset)+i] += count
	}
}

// grow appends empty buckets.
func (b *Buckets) grow(length int) {
	for len(b.Counts) < length {
		b.Counts = append(b.Counts, 0)
	}
}

// subtract makes e the increase since last, whose resolution it may change. It reports whether nothing fell.
func (e *Exponential) subtract(last *Exponential) bool {
	e.align(last)
	if e.Count < last.Count || e.ZeroCount < last.ZeroCount {
		return false
	}
	e.Count -= last.Count
	e.ZeroCount -= last.ZeroCount
	e.Sum -= last.Sum
	e.HasSum = e.HasSum && last.HasSum
	return e.Positive.subtract(&last.Positive) && e.Negative.subtract(&last.Negative)
}

func (b *Buckets) subtract(last *Buckets) bool {
	for i, count := range last.Counts {
		at := int64(last.Offset) + int64(i) - int64(b.Offset)
		if count == 0 {
			continue
		}
		if at < 0 || at >= int64(len(b.Counts)) || b.Counts[at] < count {
			return false
		}
		b.Counts[at] -= count
	}
	return true
}

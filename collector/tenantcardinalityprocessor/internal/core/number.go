package core

import "time"

// Number counts a point of a sum or a gauge.
func (b *Batch) Number(p *Point, n Number) {
	b.resolve()
	if p.NoValue {
		b.end(p)
		return
	}
	negative := n.IsInt && n.Int < 0 || !n.IsInt && n.Float < 0
	if !n.finite() || negative && b.flags&isLevel == 0 {
		b.Count(Refused, 1)
		return
	}
	st, sr := b.find(p)
	switch {
	case sr == nil:
	case st.is(isLevel):
		b.level(st, p, n)
	case st.is(isDelta):
		if b.window(st, p) {
			b.increase(st, sr, p, p.Start, n)
		}
	default:
		b.cumulative(st, sr, p, n)
	}
}

// window tells whether a delta point is to be counted.
func (b *Batch) window(st *stream, p *Point) bool {
	if st.end == 0 { // all that is before the first window is a gap
		st.value = uint64(max(p.Start, 0))
	}
	outcome := st.window(p.Start, p.Time)
	b.Count(outcome, 1)
	return outcome == Accepted
}

func (b *Batch) cumulative(st *stream, sr *series, p *Point, n Number) {
	from, step, outcome := b.advance(st, p)
	if step == drop {
		b.Count(outcome, 1)
		return
	}
	last := st.number()
	st.remember(n)
	switch step {
	case difference:
		if d, fell := n.minus(last); !fell {
			n = d
		} else {
			outcome = Reset
		}
	case baseline:
		n = IntNumber(0)
	}
	b.Count(outcome, 1)
	b.increase(st, sr, p, from, n)
}

// advance moves a cumulative stream to a point, and returns when what is to be counted may first have happened.
func (b *Batch) advance(st *stream, p *Point) (int64, step, Outcome) {
	from := st.end
	var step step
	var outcome Outcome
	if st.end == 0 {
		step, outcome = b.first(st, p)
	} else {
		step, outcome = st.advance(p.Start, p.Time)
	}
	switch step {
	case whole:
		from = p.Start
	case baseline:
		from = p.Time
	}
	return from, step, outcome
}

// first begins a cumulative stream. Its value counts if it is known that none of it was counted before: the stream began
// after this history of States did, and not so long ago that it may have been forgotten; or its resource was known,
// without it.
func (b *Batch) first(st *stream, p *Point) (step, Outcome) {
	s := b.state
	r := s.resources.at(b.resource)
	st.start, st.end = p.Start, p.Time
	known := p.Start > 0 && p.Start < p.Time
	recent := p.Start >= s.since && p.Start > b.now.Add(-s.settings.StreamTimeout).UnixNano()
	later := !r.refused && p.Time > r.first+oneCollection
	if known && (recent || later) {
		return whole, Accepted
	}
	return baseline, Baseline
}

// oneCollection is how far the timestamps of one collection of a process may lie apart, in ns: some SDKs take the time
// for each instrument, and one collection may come in several requests.
const oneCollection = int64(time.Second)

// level sets the last value of a gauge or an up-down counter; the flush folds them.
func (b *Batch) level(st *stream, p *Point, n Number) {
	if p.Time <= st.end || st.is(isDelta) && p.Start > 0 && p.Start < st.end && p.Start < p.Time {
		b.Count(Duplicate, 1)
		return
	}
	if st.is(isDelta) {
		sum := st.number()
		if st.end == 0 {
			sum = IntNumber(0)
		}
		sum.add(n)
		n = sum
	}
	st.end, st.start = p.Time, p.Start
	st.remember(n)
	b.Count(Accepted, 1)
}

// increase counts a number.
func (b *Batch) increase(st *stream, sr *series, p *Point, from int64, n Number) {
	sr.number.add(n)
	b.counted(st, sr, from, n.AsFloat())
	b.keepFew(sr, p)
}

// counted notes an increase of a series, by times increments (of a histogram: values) of its metric.
func (b *Batch) counted(st *stream, sr *series, from int64, times float64) {
	s := b.state
	if !sr.begun {
		sr.start = min(sr.start, from)
	}
	if sr.level == overflow {
		s.stats.Overflow++
	}
	if f := sr.family; times > 0 && st.tenant != 0 && (f.weight > 0 || f.affected != nil) {
		b.weigh(f, st, times)
	}
}

// weigh counts for a tenant's rank, and it among the affected ones: there once for each part of the window, as the
// sketches are slow while they are small.
func (b *Batch) weigh(f *Family, st *stream, times float64) {
	t := b.state.tenants.at(st.tenant)
	t.seen = b.second
	if weights := b.state.plans[t.plan].weights; weights != nil && f.weight > 0 {
		weights.Add(t.identity, f.weight*times, b.now)
	}
	if f.affected != nil && !st.is(isAffected) {
		st.flags |= isAffected
		f.affected.add(int(t.plan), uint64(t.identity), b.now)
	}
}

// minus returns the increase since another number, and whether there is none because it fell.
func (n Number) minus(last Number) (Number, bool) {
	if n.IsInt && last.IsInt {
		return IntNumber(n.Int - last.Int), n.Int < last.Int
	}
	d := n.AsFloat() - last.AsFloat()
	return FloatNumber(d), d < 0
}

// add adds an increase. An integer that would overflow becomes a float.
func (n *Number) add(d Number) {
	if n.IsInt && d.IsInt {
		if sum := n.Int + d.Int; (sum < n.Int) == (d.Int < 0) {
			n.Int = sum
			return
		}
	}
	*n = FloatNumber(n.AsFloat() + d.AsFloat())
}

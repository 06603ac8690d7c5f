package core

import (
	"time"
)

// Batch counts points: for each Resource its metrics, for each Metric its points.
type Batch struct {
	state  *State
	now    time.Time
	second uint32 // of now, since 1970

	from     Resource
	metric   Metric
	resource uint32   // 0: not looked up yet
	family   *Family  // nil: not looked up yet, like prefix and flags
	prefix   Identity // of the streams: all but their attributes
	flags    streamFlags

	streamless stream // stands in for the stream of a delta point that there is no room for

	// Reused from point to point.
	explicit           Explicit
	value, exponential Exponential
}

// End unlocks the State.
func (b *Batch) End() { b.state.mu.Unlock() }

// Count adds to an outcome what the core never sees: points that pass, points that are no numbers.
func (b *Batch) Count(outcome Outcome, points int) { b.state.stats.Points[outcome] += uint64(points) }

// Resource says whose the next metrics are.
func (b *Batch) Resource(r Resource) { b.from, b.resource, b.family = r, 0, nil }

// Metric says what the next points are of.
func (b *Batch) Metric(m Metric) { b.metric, b.family = m, nil }

// resolve looks the resource and the metric up. Those without points are nothing to remember.
func (b *Batch) resolve() {
	if b.family != nil {
		return
	}
	if b.resource == 0 {
		b.resource = b.state.resourceOf(b.from)
	}
	m := &b.metric
	identity := Identity(m.Kind).WithString(m.Scope).WithString(m.Name).WithString(m.Unit)
	if m.Monotonic {
		identity = ^identity
	}
	b.family = b.state.familyOf(b.state.resources.at(b.resource), identity, m)
	b.prefix, b.flags = b.from.Identity.With(identity).With(m.ScopeIdentity), 0
	if m.Delta && m.Kind != KindGauge {
		b.flags |= isDelta
		b.prefix = ^b.prefix
	}
	switch {
	case b.family.isLevel():
		b.flags |= isLevel
	case m.Kind == KindExplicit:
		b.flags |= isExplicit
	case m.Kind == KindExponential:
		b.flags |= isExponential
	}
}

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
		b.weigh(f, st.tenant, times)
	}
}

// weigh counts for a tenant's rank, and it among the affected ones.
func (b *Batch) weigh(f *Family, number uint32, times float64) {
	t := b.state.tenants.at(number)
	t.seen = b.second
	if weights := b.state.plans[t.plan].weights; weights != nil && f.weight > 0 {
		weights.Add(t.identity, f.weight*times, b.now)
	}
	if f.affected != nil {
		f.affected.add(int(t.plan), uint64(t.identity), b.now)
	}
}

// find returns the stream of a point and the series that it is counted in. Both are nil if it is refused.
func (b *Batch) find(p *Point) (*stream, *series) {
	s := b.state
	identity := b.prefix.With(p.Identity)
	number, known := s.streamNumbers[identity]
	if !known {
		return b.begin(identity, p)
	}
	st := s.streams.at(number)
	if (st.flags^b.flags)&kindFlags != 0 { // two streams of one identity, or a storage that lies
		return b.refuse()
	}
	if (st.series == 0 || st.epoch != s.epoch) && !b.route(st, p) {
		return b.refuse()
	}
	sr := s.series.at(st.series)
	st.seen, sr.seen = b.second, b.second
	s.streams.touch(number)
	s.series.touch(st.series)
	b.note(st)
	return st, sr
}

func (b *Batch) refuse() (*stream, *series) {
	b.Count(Refused, 1)
	b.state.resources.at(b.resource).refused = true
	return nil, nil
}

// begin remembers a new stream. Without room for it, a delta point is counted all the same.
func (b *Batch) begin(identity Identity, p *Point) (*stream, *series) {
	s := b.state
	remember := s.streams.used < s.settings.MaxStreams
	if p.Time <= 0 || !remember && (b.flags&isDelta == 0 || b.flags&isLevel != 0) {
		return b.refuse()
	}
	tenant := s.tenantOf(p, remember)
	number := s.place(b.family, p, tenant)
	if number == 0 {
		s.releaseUnused(tenant)
		return b.refuse()
	}
	s.series.touch(number)
	sr := s.series.at(number)
	sr.seen = b.second
	if !remember {
		s.stats.Streamless++
		b.streamless = stream{flags: b.flags, tenant: tenant, series: number}
		b.mark(&b.streamless)
		b.note(&b.streamless)
		return &b.streamless, sr
	}
	st := b.remember(identity, p, tenant, number)
	b.note(st)
	return st, sr
}

// remember begins a stream that is counted in a series.
func (b *Batch) remember(identity Identity, p *Point, tenant, series uint32) *stream {
	s := b.state
	number, st := s.streams.take()
	*st = stream{
		identity: identity, flags: b.flags, seen: b.second,
		resource: b.resource, tenant: tenant, series: series, epoch: s.epoch,
	}
	s.streamNumbers[identity] = number
	s.series.at(series).streams++
	b.mark(st)
	if tenant != 0 {
		s.tenants.at(tenant).streams++
	}
	if r := s.resources.at(b.resource); r.first == 0 {
		r.first = p.Time
		s.resources.touch(b.resource)
	}
	return st
}

// mark notes what a stream's series, which was just placed, leaves out.
func (b *Batch) mark(st *stream) {
	s := b.state
	st.flags &^= isSqueezed | isTrimmed
	if st.tenant != 0 && s.tenants.at(st.tenant).named && s.series.at(st.series).level != own {
		st.flags |= isSqueezed
	}
	if s.trimmed {
		st.flags |= isTrimmed
	}
}

// note counts a point by what its series leaves out.
func (b *Batch) note(st *stream) {
	if st.is(isSqueezed) {
		b.state.stats.Squeezed++
	}
	if st.is(isTrimmed) {
		b.state.stats.Trimmed++
	}
}

// route finds the series of a stream anew. It reports whether there is one.
func (b *Batch) route(st *stream, p *Point) bool {
	s := b.state
	if st.tenant != 0 {
		s.tenantOf(p, true) // it is the same, but may have a name by now
	}
	number := s.place(b.family, p, st.tenant)
	if number == 0 {
		return false
	}
	if number != st.series {
		s.detach(st)
		s.series.at(number).streams++
		st.series = number
	}
	st.epoch = s.epoch
	b.mark(st)
	return true
}

// end ends what a stream counts now. What was counted stays, and the stream is remembered: it may come back.
func (b *Batch) end(p *Point) {
	s := b.state
	b.Count(Accepted, 1)
	number, known := s.streamNumbers[b.prefix.With(p.Identity)]
	if !known {
		return
	}
	st := s.streams.at(number)
	if p.Time < st.end {
		return
	}
	s.streams.touch(number)
	s.detach(st)
	if st.is(isLevel) {
		st.end = p.Time
	}
}

func (s *State) detach(st *stream) {
	if st.series != 0 {
		s.series.at(st.series).streams--
		s.series.touch(st.series)
		st.series = 0
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

package core

import "time"

// Batch counts points: for each Resource its metrics, for each Metric its points.
type Batch struct {
	state  *State
	now    time.Time
	second uint32 // of now, since 1970
	part   uint32 // … when the present part of the window of affected tenants began

	from     Resource
	metric   Metric
	resource uint32   // 0: not looked up yet
	family   *Family  // nil: not looked up yet, like prefix and flags
	prefix   Identity // of the streams: all but their attributes
	flags    streamFlags

	streamless stream // stands in for the stream of a delta point that there is no room for

	// Reused from point to point.
	single             [1]uint64 // the only bucket of a histogram without bounds
	explicit           Explicit
	value, exponential Exponential
}

// End unlocks the State.
func (b *Batch) End() { b.state.mu.Unlock() }

// Count adds to an outcome what the core never sees: points that pass, points that are no numbers.
func (b *Batch) Count(outcome Outcome, points int) { b.state.stats.Points[outcome] += uint64(points) }

// Resource says whose the next metrics are.
func (b *Batch) Resource(r Resource) {
	r.Identity = r.Identity.With(1) // that of no attributes is 0, and 0 is nobody's
	b.from, b.resource, b.family = r, 0, nil
}

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

// find returns the stream of a point and the series that it is counted in. Both are nil if it is refused.
func (b *Batch) find(p *Point) (*stream, *series) {
	s := b.state
	identity := b.prefix.With(p.Identity)
	number := s.streams.find(identity)
	if number == 0 {
		return b.begin(identity, p)
	}
	st := s.streams.at(number)
	if (st.flags^b.flags)&kindFlags != 0 { // two streams of one identity, or a storage that lies
		b.Count(Refused, 1)
		return nil, nil
	}
	if st.series == 0 || st.epoch != s.epoch && !s.settled(st) {
		if !b.route(st, p) {
			return b.refuse()
		}
	}
	sr := s.series.at(st.series)
	if st.seen < b.part {
		st.flags &^= isAffected
	}
	st.seen, sr.seen = b.second, b.second
	s.streams.touch(number)
	s.series.touch(st.series)
	b.note(st)
	return st, sr
}

// refuse refuses a point that there is no room for.
func (b *Batch) refuse() (*stream, *series) {
	b.Count(Refused, 1)
	if r := b.state.resources.at(b.resource); !r.refused && b.flags&(isDelta|isLevel) == 0 {
		r.refused = true
		b.state.resources.touch(b.resource)
	}
	return nil, nil
}

// begin remembers a new stream. Without room for it, a delta point is counted all the same.
func (b *Batch) begin(identity Identity, p *Point) (*stream, *series) {
	s := b.state
	if p.Time <= 0 {
		b.Count(Refused, 1)
		return nil, nil
	}
	remember := s.streams.used < s.settings.MaxStreams
	if !remember && (b.flags&isDelta == 0 || b.flags&isLevel != 0) {
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
	s.streams.enter(number)
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

// settled tells whether a stream is where it belongs after others were named or folded: this is cheaper than to route it,
// and most are. One that was stored may have to go elsewhere by now: other settings let it keep other attributes.
func (s *State) settled(st *stream) bool {
	level := s.series.at(st.series).level
	if st.epoch == 0 || st.is(isSqueezed) || level == overflow {
		return false
	}
	if st.tenant != 0 {
		t := s.tenants.at(st.tenant)
		if t.named != (level == own) || !t.named && s.plans[t.plan].hasRoom() {
			return false
		}
	}
	st.epoch = s.epoch
	return true
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
	number := s.streams.find(b.prefix.With(p.Identity))
	if number == 0 {
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

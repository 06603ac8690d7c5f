package core

// arena is the memory of the values in an output. It is reused by the next one.
type arena struct {
	counts       []uint64
	explicits    []Explicit
	exponentials []Exponential
}

func (a *arena) reset() {
	a.counts, a.explicits, a.exponentials = a.counts[:0], a.explicits[:0], a.exponentials[:0]
}

func (a *arena) copyCounts(counts []uint64) []uint64 {
	from := len(a.counts)
	a.counts = append(a.counts, counts...)
	return a.counts[from:len(a.counts):len(a.counts)]
}

func (a *arena) explicit(h *Explicit) *Explicit {
	if h == nil {
		return nil
	}
	a.explicits = append(a.explicits, *h)
	last := &a.explicits[len(a.explicits)-1]
	last.Counts = a.copyCounts(h.Counts)
	return last
}

func (a *arena) exponential(h *Exponential) *Exponential {
	if h == nil {
		return nil
	}
	a.exponentials = append(a.exponentials, *h)
	last := &a.exponentials[len(a.exponentials)-1]
	last.Positive.Counts = a.copyCounts(h.Positive.Counts)
	last.Negative.Counts = a.copyCounts(h.Negative.Counts)
	return last
}

// emit puts a series that is alive into the output.
func (s *State) emit(number uint32, at int64) {
	sr := s.series.at(number)
	s.begin(number, sr, at)
	if !sr.sent {
		s.unsent = append(s.unsent, number)
		s.emitZero(sr.point(sr.start + tick))
	}
	point := sr.point(at)
	point.Explicit, point.Exponential = s.arena.explicit(sr.explicit), s.arena.exponential(sr.exponential)
	for _, e := range sr.exemplars {
		point.Exemplars = append(point.Exemplars, e.Exemplar)
	}
	sr.exemplars, sr.live = nil, false
	s.output.Points = append(s.output.Points, point)
}

// point returns the series' point, which shares its memory.
func (sr *series) point(at int64) OutputPoint {
	p := OutputPoint{
		Family: sr.family, Attributes: sr.attributes, Start: sr.start, Time: at,
		Number: sr.number, Explicit: sr.explicit, Exponential: sr.exponential,
	}
	if sr.family.Kind == KindGauge {
		p.Start = 0
	}
	return p
}

// emitZero puts a 0 like a point into the output.
func (s *State) emitZero(p OutputPoint) {
	if !s.settings.ZeroPoints || p.Family.isLevel() {
		return
	}
	p.zero(&s.arena)
	s.output.Points = append(s.output.Points, p)
}

// zero leaves only a histogram's bounds of a point's value.
func (p *OutputPoint) zero(a *arena) {
	p.Number = Number{IsInt: p.Number.IsInt}
	if h := p.Explicit; h != nil {
		p.Explicit = a.explicit(&Explicit{HasSum: h.HasSum, Bounds: h.Bounds, Counts: make([]uint64, len(h.Counts))})
	}
	if h := p.Exponential; h != nil {
		p.Exponential = a.exponential(&Exponential{HasSum: h.HasSum, Scale: h.Scale, ZeroThreshold: h.ZeroThreshold})
	}
}

// ending is the end of a series. It is sent until it was accepted, always with the same timestamps.
type ending struct {
	point OutputPoint // its last value; Time is that of the stale marker
	final int64       // the time of the last value; 0: there is none to send
	sent  bool        // its beginning was sent
}

// ending returns the end of a series, which must not be used after it.
func (sr *series) ending(final, stale int64) ending {
	e := ending{point: sr.point(stale), final: final, sent: sr.sent}
	for _, x := range sr.exemplars {
		e.point.Exemplars = append(e.point.Exemplars, x.Exemplar)
	}
	return e
}

func (e *ending) emit(s *State) {
	if e.final != 0 {
		last := e.point
		last.Time = e.final
		if !e.sent {
			zero := last
			zero.Time, zero.Exemplars = zero.Start+tick, nil
			s.emitZero(zero)
		}
		s.output.Points = append(s.output.Points, last)
	}
	marker := e.point
	marker.NoValue, marker.Exemplars = true, nil
	marker.zero(&s.arena)
	s.output.Points = append(s.output.Points, marker)
}

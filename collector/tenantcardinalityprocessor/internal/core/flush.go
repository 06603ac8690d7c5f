package core

import (
	"cmp"
	"slices"
	"time"
)

const (
	// tick is the least difference between two timestamps of one series: Prometheus has milliseconds.
	tick = int64(time.Millisecond)
	// shortest is the least time between two flushes. What happens within it finds its place, in this order: the previous
	// flush; last value and stale marker of what begins anew; start, zero point; last value of what ends; the flush, with
	// the stale marker of what ends.
	shortest = 10 * tick
)

// Flush ranks the tenants and returns what is to be sent: every series that is alive, and the ends of others.
func (s *State) Flush(now time.Time) *Output {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batch.now, s.batch.second = now, seconds(now)
	at := max(now.UnixNano(), s.previous+shortest)
	s.output = Output{Time: at, Points: s.output.Points[:0], Changes: s.rank(now)}
	s.arena.reset()
	moved := s.endFolded()
	s.scan(moved)
	s.endSilent(at)
	s.forgetEnds(at - int64(tooOld))
	for i := range s.ended {
		s.ended[i].emit(s)
	}
	s.unsent = s.unsent[:0]
	s.flushed = len(s.ended)
	for _, f := range s.sortedFamilies() {
		if len(f.members) == 0 { // all of its points were refused
			s.dropFamily(f)
		}
		for _, number := range f.members {
			s.emit(number, at)
		}
	}
	s.emitAffected(now, at)
	s.previous = at
	return &s.output
}

// Sent tells that the last flush's output was accepted: what began and ended in it need not be sent again. If there was
// any such, it returns a page that tells so to the next process, should this one be killed before its next checkpoint.
func (s *State) Sent() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flushed == 0 && len(s.unsent) == 0 {
		return nil
	}
	s.sent()
	e := &encoder{}
	e.int(s.previous)
	return map[string][]byte{sentPage: e.data}
}

func (s *State) sent() {
	s.ended = slices.Delete(s.ended, 0, s.flushed)
	for i := range s.ended { // what ended meanwhile had its beginning in that output, or before it
		s.ended[i].sent = true
	}
	s.flushed = 0
	for _, number := range s.unsent {
		if sr := s.series.at(number); sr.begun && !sr.sent {
			sr.sent = true
			s.series.touch(number)
		}
	}
	s.unsent = s.unsent[:0]
}

// forgetEnds forgets the ends that are too old to tell.
func (s *State) forgetEnds(oldest int64) {
	count := len(s.ended)
	s.ended = slices.DeleteFunc(s.ended, func(e ending) bool { return e.point.Time < oldest })
	s.stats.Untold += uint64(count - len(s.ended))
}

// endFolded ends the series of tenants that have lost their names. It returns where the levels that are counted in them
// are counted from now on: the streams themselves know only from their next point on.
func (s *State) endFolded() map[uint32]uint32 {
	moved := map[uint32]uint32{}
	if s.folded == 0 {
		return moved
	}
	s.folded = 0
	for number := uint32(1); number < s.series.next; number++ {
		sr := s.series.at(number)
		if sr.family == nil || sr.level != own || s.tenants.at(sr.tenant).named {
			continue
		}
		sr.dead = true
		moved[number] = 0
		if sr.family.isLevel() {
			s.scratch = append(s.scratch[:0], sr.attributes...)
			moved[number] = s.placeFolded(sr.family, s.scratch)
		}
	}
	return moved
}

// presence is how long ago a resource was heard of.
type presence uint8

const (
	alive presence = iota
	silent
	gone
)

// scan forgets the streams of resources that are gone, takes those of silent ones and of dead series from their series,
// and folds all levels.
func (s *State) scan(moved map[uint32]uint32) {
	resources := s.presences()
	timeout, stale := s.before(s.settings.StreamTimeout), s.before(s.settings.StaleAfter)
	for number := uint32(1); number < s.streams.next; number++ {
		st := s.streams.at(number)
		idle := st.is(isDelta) && !st.is(isLevel) && st.seen < timeout
		switch {
		case st.identity == 0:
			continue
		case resources[st.resource] == gone || idle:
			s.drop(number, st)
			continue
		case st.series == 0:
			continue
		case resources[st.resource] == silent || st.is(isLevel) && st.seen < stale:
			s.streams.touch(number)
			s.detach(st)
			continue
		}
		if len(moved) > 0 {
			s.move(number, st, moved)
		}
		if st.is(isLevel) && st.series != 0 {
			s.series.at(st.series).fold(st.number())
		}
	}
	for number, presence := range resources {
		if presence == gone {
			s.forget(uint32(number))
		}
	}
}

// presences returns what has become of each resource.
func (s *State) presences() []presence {
	timeout, stale := s.before(s.settings.StreamTimeout), s.before(s.settings.StaleAfter)
	resources := make([]presence, max(1, s.resources.next))
	for number := uint32(1); number < s.resources.next; number++ {
		switch r := s.resources.at(number); {
		case r.identity == 0:
		case r.seen < timeout:
			resources[number] = gone
		case r.seen < stale:
			resources[number] = silent
		}
	}
	return resources
}

// before returns what second it was a while ago.
func (s *State) before(d time.Duration) uint32 { return seconds(s.batch.now.Add(-d)) }

func (s *State) drop(number uint32, st *stream) {
	s.detach(st)
	if st.tenant != 0 {
		t := s.tenants.at(st.tenant)
		t.streams--
		s.releaseUnused(st.tenant)
	}
	s.releaseMemory(st)
	s.streams.remove(number)
}

// move takes a stream out of a series that ends.
func (s *State) move(number uint32, st *stream, moved map[uint32]uint32) {
	to, moves := moved[st.series]
	if !moves {
		return
	}
	s.streams.touch(number)
	s.detach(st)
	if st.series = to; to != 0 {
		s.series.at(to).streams++
	}
}

// fold counts one stream's level.
func (sr *series) fold(n Number) {
	switch {
	case !sr.live:
		sr.live, sr.number = true, n
	case sr.family.fold == FoldSum:
		sr.number.add(n)
	case n.AsFloat() > sr.number.AsFloat():
		sr.number = n
	}
}

// endSilent ends the series that nothing is counted in any more.
func (s *State) endSilent(at int64) {
	stale, ended := s.before(s.settings.StaleAfter), false
	for number := uint32(1); number < s.series.next; number++ {
		sr := s.series.at(number)
		switch {
		case sr.family == nil:
			continue
		case sr.family.isLevel():
			if sr.live && !sr.dead {
				continue
			}
			if sr.begun {
				s.ended = append(s.ended, sr.ending(0, at))
			}
		case sr.dead, sr.level == own && !s.tenants.at(sr.tenant).named, sr.streams == 0 && sr.seen < stale:
			s.begin(number, sr, at)
			s.ended = append(s.ended, sr.ending(at-tick, at))
		default:
			continue
		}
		ended = true
		s.dropSeries(number)
	}
	if ended && s.squeezed { // there may be room now
		s.squeezed = false
		s.epoch++
	}
}

// begin fixes a series' start: not before the previous flush, in which it would have been.
func (s *State) begin(number uint32, sr *series, at int64) {
	if !sr.begun {
		sr.begun = true
		s.series.touch(number)
		sr.start = min(max(sr.start, s.previous+3*tick), at-3*tick)
	}
}

func (s *State) sortedFamilies() []*Family {
	if s.unsorted {
		s.unsorted = false
		s.sorted = s.sorted[:0]
		for _, number := range s.familyNumbers {
			s.sorted = append(s.sorted, *s.families.at(number))
		}
		slices.SortFunc(s.sorted, func(a, b *Family) int {
			return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Name, b.Name),
				cmp.Compare(a.identity, b.identity))
		})
	}
	return s.sorted
}

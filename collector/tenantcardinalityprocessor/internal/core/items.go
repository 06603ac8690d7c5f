package core

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/heavy"
)

// fingerprint is what a stored State and this one must have in common.
func (s *Settings) fingerprint() string {
	return strings.Join([]string{
		s.Tenant, s.Plan, s.Tier, s.Other, strings.Join(s.AlsoFolded, ","), strings.Join(s.Keep, ","), fmt.Sprint(s.Self),
	}, ";")
}

func (s *State) encodeHead() []byte {
	e := &encoder{}
	e.uint(formatVersion)
	e.str(s.settings.fingerprint())
	e.int(s.since)
	e.int(s.previous)
	for _, next := range []uint32{s.families.next, s.resources.next, s.tenants.next, s.series.next, s.streams.next} {
		e.uint(uint64(next))
	}
	e.uint(uint64(len(s.plans)))
	for _, plan := range s.plans {
		e.str(plan.name)
		e.weights(plan.weights, s.batch.now)
	}
	e.uint(uint64(len(s.tiers)))
	each(s.tiers, e.str)
	e.uint(uint64(len(s.affected)))
	for _, watch := range s.affected {
		e.watch(watch)
	}
	e.uint(uint64(s.flushed))
	e.uint(uint64(len(s.ended)))
	for i := range s.ended {
		e.ending(&s.ended[i])
	}
	return e.data
}

var (
	errVersion  = fmt.Errorf("another format: this one is version %d", formatVersion)
	errSettings = errors.New("it was kept under other settings of tenant, plan, tier, other, also_folded, keep or replica")
)

// tooOld is what Prometheus refuses: older than half of the two hours that its newest block covers.
const tooOld = time.Hour

func (s *State) decodeHead(data []byte, now time.Time) error {
	d := &decoder{data: data}
	if d.uint() != formatVersion {
		return errVersion
	}
	if d.str() != s.settings.fingerprint() {
		return errSettings
	}
	s.since = d.int()
	s.stored = d.int()
	oldest := now.Add(-tooOld).UnixNano()
	s.previous = max(s.stored, oldest) // new series begin after what was sent
	fits := s.families.extend(d.uint()) && s.resources.extend(d.uint()) && s.tenants.extend(d.uint()) &&
		s.series.extend(d.uint()) && s.streams.extend(d.uint())
	if !fits {
		d.fail()
	}
	s.plans, s.tiers = nil, nil
	for range d.length() {
		number := s.addPlan(d.str())
		d.weights(s.plans[number].weights, now)
	}
	for range d.length() {
		tier := d.str()
		s.tierNumbers[tier] = uint16(len(s.tiers))
		s.tiers = append(s.tiers, tier)
	}
	for range d.length() {
		d.watch(s.affected)
	}
	flushed := d.uint()
	for i := range d.length() {
		end := d.ending()
		if end.point.Time <= oldest {
			continue
		}
		s.ended = append(s.ended, end)
		if uint64(i) < flushed {
			s.flushed = len(s.ended)
		}
	}
	if len(s.plans) == 0 || len(s.tiers) == 0 {
		d.fail()
	}
	return d.err
}

// weights writes a summary; of none, an empty one.
func (e *encoder) weights(weights *heavy.Summary[Identity], now time.Time) {
	if weights == nil {
		weights = heavy.New[Identity](1, time.Second)
	}
	e.float(weights.Total(now))
	e.uint(uint64(weights.Len()))
	for entry := range weights.All(now) {
		e.id(entry.Key)
		e.float(entry.High)
		e.float(entry.Error)
	}
}

func (d *decoder) weights(weights *heavy.Summary[Identity], now time.Time) {
	total := d.float()
	entries := list(d, func() heavy.Entry[Identity] {
		return heavy.Entry[Identity]{Key: d.id(), High: d.float(), Error: d.float()}
	})
	if weights != nil && d.err == nil {
		weights.Restore(entries, total, now)
	}
}

func (e *encoder) watch(w *watch) {
	e.str(w.metric)
	e.uint(uint64(len(w.plans)))
	for _, counter := range w.plans {
		var data []byte
		if counter != nil {
			data, _ = counter.AppendBinary(nil) // a sketch that cannot be written counts anew
		}
		e.bytes(data)
	}
}

func (d *decoder) watch(known map[string]*watch) {
	w := known[d.str()]
	for plan := range d.length() {
		data := d.bytes()
		if w == nil || len(data) == 0 { // it is not watched any more
			continue
		}
		if err := w.counter(plan).UnmarshalBinary(data); err != nil {
			d.fail()
		}
	}
}

func (e *encoder) ending(end *ending) {
	encodeFamily(e, &end.point.Family)
	e.attributes(end.point.Attributes)
	e.int(end.point.Start)
	e.int(end.final)
	e.int(end.point.Time)
	e.bool(end.sent)
	e.value(end.point.Number, end.point.Explicit, end.point.Exponential)
}

// ending reads the end of a series. It may have been sent: what is sent again is the same, times included.
func (d *decoder) ending() (end ending) {
	end.point.Family = d.family()
	end.point.Attributes = d.attributes()
	end.point.Start = d.int()
	end.final, end.point.Time, end.sent = d.int(), d.int(), d.bool()
	end.point.Number, end.point.Explicit, end.point.Exponential = d.value(end.point.Family)
	return end
}

func encodeFamily(e *encoder, of **Family) {
	f := *of
	e.id(f.identity)
	e.id(f.Group)
	e.attributes(f.Kept)
	each([]string{f.Scope, f.Name, f.Unit, f.Description}, e.str)
	e.byte(byte(f.Kind))
	e.bool(f.Monotonic)
}

func (d *decoder) family() *Family {
	f := &Family{identity: d.id(), Group: d.id(), Kept: d.attributes()}
	f.Scope, f.Name, f.Unit, f.Description = d.str(), d.str(), d.str(), d.str()
	if f.Kind, f.Monotonic = Kind(d.byte()), d.bool(); f.Kind > KindExponential {
		d.fail()
	}
	return f
}

func (s *State) decodeFamily(d *decoder, number uint32, into **Family) {
	*into = d.family()
	s.adopt(number, *into)
}

func encodeResource(e *encoder, r *resource) {
	e.id(r.identity)
	e.int(r.first)
	e.bool(r.refused)
	e.attributes(r.kept)
}

func (s *State) decodeResource(d *decoder, number uint32, r *resource) {
	*r = resource{identity: d.id(), first: d.int(), refused: d.bool(), kept: d.attributes(), seen: s.batch.second}
	r.group = identityOf(r.kept)
	s.resourceNumbers[r.identity] = number
}

func encodeTenant(e *encoder, t *tenant) {
	e.id(t.identity)
	e.str(t.name)
	e.uint(uint64(t.plan))
	e.uint(uint64(t.tier))
	e.bool(t.named)
	e.uint(uint64(t.since))
}

func (s *State) decodeTenant(d *decoder, number uint32, t *tenant) {
	*t = tenant{identity: d.id(), name: d.str(), seen: s.batch.second}
	plan, tier := d.uint(), d.uint()
	t.named, t.since = d.bool(), uint32(d.uint())
	if plan >= uint64(len(s.plans)) || tier >= uint64(len(s.tiers)) {
		d.fail()
		return
	}
	t.plan, t.tier = uint16(plan), uint16(tier)
	s.tenantNumbers[t.identity] = number
	s.plans[t.plan].tenants++
	if t.named {
		s.plans[t.plan].named++
	}
}

func encodeSeries(e *encoder, sr *series) {
	e.uint(uint64(sr.family.number))
	e.id(sr.identity)
	e.byte(byte(sr.level))
	e.uint(uint64(sr.tenant))
	e.attributes(sr.attributes)
}

func (s *State) decodeSeries(d *decoder, number uint32, sr *series) {
	family := d.number32(s.families.next)
	*sr = series{identity: d.id(), level: level(d.byte()), tenant: d.number32(s.tenants.next), attributes: d.attributes()}
	if d.err != nil || family == 0 || *s.families.at(family) == nil || sr.level > overflow {
		d.fail()
		return
	}
	sr.family, sr.seen = *s.families.at(family), s.batch.second
	sr.join(number)
}

// number32 reads the number of an item, or 0.
func (d *decoder) number32(next uint32) uint32 {
	number := d.uint()
	if number > 0 && number >= uint64(next) {
		d.fail()
		return 0
	}
	return uint32(number)
}

func (e *encoder) value(n Number, h *Explicit, x *Exponential) {
	switch {
	case h != nil:
		e.explicit(h)
	case x != nil:
		e.exponential(x)
	default:
		e.number(n)
	}
}

func (d *decoder) value(f *Family) (n Number, h *Explicit, x *Exponential) {
	switch f.Kind {
	case KindExplicit:
		h = d.explicit()
	case KindExponential:
		x = d.exponential()
	default:
		n = d.number()
	}
	return n, h, x
}

func encodeValue(e *encoder, sr *series) {
	e.bool(sr.begun)
	e.bool(sr.sent)
	e.int(sr.start)
	e.value(sr.number, sr.explicit, sr.exponential)
}

func (s *State) decodeValue(d *decoder, _ uint32, sr *series) {
	if sr.family == nil {
		d.fail()
		return
	}
	sr.begun, sr.sent, sr.start = d.bool(), d.bool(), d.int()
	sr.number, sr.explicit, sr.exponential = d.value(sr.family)
	if sr.cost = 1; sr.explicit != nil {
		sr.cost = explicitCost(sr.explicit.Bounds)
	}
	s.stats.Series += sr.cost
}

func (s *State) encodeStream(e *encoder, st *stream) {
	e.id(st.identity)
	e.byte(byte(st.flags))
	e.uint(uint64(st.resource))
	e.uint(uint64(st.tenant))
	e.uint(uint64(st.series))
	e.int(st.end)
	e.int(st.end - st.start)
	if st.is(isDelta) && !st.is(isLevel) {
		e.int(st.end - int64(st.value))
	} else if st.flags&(isExplicit|isExponential) == 0 {
		e.number(st.number())
	}
	e.bool(st.memory != 0)
	switch {
	case st.memory == 0:
	case st.is(isExplicit):
		e.explicit(s.explicits.at(st.memory))
	default:
		e.exponential(s.exponentials.at(st.memory))
	}
}

func (s *State) decodeStream(d *decoder, number uint32, st *stream) {
	*st = stream{identity: d.id(), flags: streamFlags(d.byte()), seen: s.batch.second}
	st.resource, st.tenant, st.series = d.number32(s.resources.next), d.number32(s.tenants.next), d.number32(s.series.next)
	st.end = d.int()
	st.start = st.end - d.int()
	if st.is(isDelta) && !st.is(isLevel) {
		st.value = uint64(st.end - d.int())
	} else if st.flags&(isExplicit|isExponential) == 0 {
		st.remember(d.number())
	}
	s.decodeMemory(d, st)
	if remembers := st.flags&(isExplicit|isExponential) != 0 && !st.is(isDelta); remembers != (st.memory != 0) {
		d.fail()
	}
	if d.err != nil || !s.link(st) {
		d.fail()
		return
	}
	s.streamNumbers[st.identity] = number
}

func (s *State) decodeMemory(d *decoder, st *stream) {
	switch has := d.bool(); {
	case !has:
	case st.is(isExplicit):
		*s.explicitOf(st) = *d.explicit()
	case st.is(isExponential):
		*s.exponentialOf(st) = *d.exponential()
	default:
		d.fail()
	}
}

// link counts a restored stream for its series and its tenant. It reports whether they, and its resource, are there.
func (s *State) link(st *stream) bool {
	if st.resource == 0 || s.resources.at(st.resource).identity == 0 {
		return false
	}
	if st.series != 0 {
		if s.series.at(st.series).family == nil {
			return false
		}
		s.series.at(st.series).streams++
	}
	if st.tenant != 0 {
		if s.tenants.at(st.tenant).identity == 0 {
			return false
		}
		s.tenants.at(st.tenant).streams++
	}
	return true
}

package core

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
	s.tenants.enter(number)
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
	*st = stream{identity: d.id(), flags: streamFlags(d.byte()) &^ isAffected, seen: s.batch.second}
	st.resource, st.tenant = d.number32(s.resources.next), d.number32(s.tenants.next)
	st.series = d.number32(s.series.next)
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
	s.streams.enter(number)
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

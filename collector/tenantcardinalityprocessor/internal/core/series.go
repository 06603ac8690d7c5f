package core

import (
	"cmp"
	"math"
	"slices"
)

// series is one of the output.
type series struct {
	family     *Family
	identity   Identity // of the attributes; with the family it is unique among those alive
	attributes []Attribute
	level      level
	tenant     uint32 // of an own series
	streams    uint32 // counted here, of resources that are not silent
	seen       uint32 // s since 1970, when something was last counted
	cost       int
	place      int   // among the family's members
	start      int64 // the earliest time that its first increase may have happened at
	begun      bool  // it was in an output: start is fixed
	sent       bool  // … and that output was sent
	dead       bool  // the flush that is going on ends it

	number      Number
	explicit    *Explicit
	exponential *Exponential
	exemplars   []slotted
	live        bool // of a level: a stream counted in this flush
}

// level is how much of its attributes a series has.
type level uint8

const (
	own      level = iota // all
	folded                // the tenant, and what would keep it apart, are Other
	overflow              // plan and tier are all that is left
)

// share is how much of MaxSeries, in percent, series up to each level may fill: when there is no room for a tenant's
// own, there still is for folding it.
var share = [...]int{own: 90, folded: 98, overflow: 100}

func (f *Family) isLevel() bool { return f.Kind == KindGauge || f.Kind == KindSum && !f.Monotonic }

// familyOf returns the family of a resource's metric.
func (s *State) familyOf(r *resource, identity Identity, m *Metric) *Family {
	identity = r.group.With(identity)
	if number, known := s.familyNumbers[identity]; known {
		return *s.families.at(number)
	}
	f := &Family{
		Kept: r.kept, Scope: m.Scope, Name: m.Name, Unit: m.Unit, Description: m.Description,
		Kind: m.Kind, Monotonic: m.Monotonic && m.Kind == KindSum, identity: identity, Group: r.group,
	}
	number, place := s.families.take()
	*place = f
	s.adopt(number, f)
	return f
}

// adopt makes a family, of which only what is stored is known, one of the State's.
func (s *State) adopt(number uint32, f *Family) {
	f.number, f.cost, f.series = number, 1, map[Identity]uint32{}
	f.weight, f.affected = s.settings.Weights[f.Name], s.affected[f.Name]
	f.keep = s.kept[f.Name]
	if f.Kind == KindGauge {
		f.fold = s.settings.GaugeFold
		if fold, has := s.settings.Gauges[f.Name]; has {
			f.fold = fold
		}
	}
	s.familyNumbers[f.identity] = number
	s.unsorted = true
	name := f.name()
	if s.names[name]++; s.names[name] > 1 {
		s.stats.Conflicts++
	}
}

// name identifies what must not have several kinds or units: a metric's name, within one resource and scope.
func (f *Family) name() Identity { return f.Group.WithString(f.Scope).WithString(f.Name) }

func (s *State) dropFamily(f *Family) {
	delete(s.familyNumbers, f.identity)
	s.families.release(f.number)
	s.unsorted = true
	name := f.name()
	if s.names[name]--; s.names[name] == 0 {
		delete(s.names, name)
	}
}

// place returns the series that a tenant's points are counted in: its own if it is named, a folded one otherwise, and
// whatever there is room for if there is too little; 0 if there is none at all.
func (s *State) place(f *Family, p *Point, tenant uint32) uint32 {
	all := p.Attributes.Append(s.scratch[:0])
	count := len(all)
	s.scratch = f.trim(all)
	s.trimmed = len(s.scratch) < count
	if tenant != 0 && s.tenants.at(tenant).named {
		identity := identityOf(s.scratch)
		if number, known := f.series[identity]; known {
			return number
		}
		if s.room(own, f.cost) {
			return s.addSeries(f, own, tenant, identity, slices.Clone(s.scratch))
		}
		s.squeezed = true
	}
	return s.placeFolded(f, s.scratch)
}

// trim removes the attributes that the family's series do not keep.
func (f *Family) trim(attributes []Attribute) []Attribute {
	if f.keep == nil {
		return attributes
	}
	return slices.DeleteFunc(attributes, func(a Attribute) bool { return !f.keep[a.Key] })
}

// placeFolded returns the series that attributes are counted in without their tenant. It changes them.
func (s *State) placeFolded(f *Family, attributes []Attribute) uint32 {
	for i := range attributes {
		if key := attributes[i].Key; key == s.settings.Tenant || slices.Contains(s.settings.AlsoFolded, key) {
			attributes[i].Value = String(s.settings.Other)
		}
	}
	identity := identityOf(attributes)
	if number, known := f.series[identity]; known {
		return number
	}
	if s.room(folded, f.cost) {
		return s.addSeries(f, folded, 0, identity, slices.Clone(attributes))
	}
	s.squeezed = true
	attributes = slices.DeleteFunc(attributes, func(a Attribute) bool {
		return a.Key != s.settings.Plan && a.Key != s.settings.Tier
	})
	attributes = append(attributes, Attribute{"otel.metric.overflow", Bool(true)})
	identity = identityOf(attributes)
	if number, known := f.series[identity]; known {
		return number
	}
	if s.room(overflow, f.cost) {
		return s.addSeries(f, overflow, 0, identity, slices.Clone(attributes))
	}
	return 0
}

func identityOf(attributes []Attribute) (identity Identity) {
	for _, a := range attributes {
		identity.Add(a.Key, a.Value)
	}
	return identity
}

func (s *State) room(l level, cost int) bool {
	return s.stats.Series+cost <= s.settings.MaxSeries*share[l]/100
}

func (s *State) addSeries(f *Family, l level, tenant uint32, identity Identity, attributes []Attribute) uint32 {
	slices.SortFunc(attributes, func(a, b Attribute) int { return cmp.Compare(a.Key, b.Key) })
	number, sr := s.series.take()
	*sr = series{
		family: f, identity: identity, attributes: attributes, level: l, tenant: tenant, cost: f.cost,
		start: math.MaxInt64, seen: s.batch.second, number: IntNumber(0),
	}
	sr.join(number)
	s.stats.Series += sr.cost
	return number
}

// join makes a series one of its family's.
func (sr *series) join(number uint32) {
	f := sr.family
	f.series[sr.identity] = number
	sr.place = len(f.members)
	f.members = append(f.members, number)
}

// dropSeries forgets a series that no stream is counted in.
func (s *State) dropSeries(number uint32) {
	sr := s.series.at(number)
	f := sr.family
	delete(f.series, sr.identity)
	last := f.members[len(f.members)-1]
	f.members[sr.place] = last
	s.series.at(last).place = sr.place
	if f.members = f.members[:len(f.members)-1]; len(f.members) == 0 {
		s.dropFamily(f)
	}
	s.stats.Series -= sr.cost
	s.series.release(number)
}

package core

import (
	"cmp"
	"slices"
	"time"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/heavy"
)

// contender is a tenant and what it weighs: one that has a name, or one that wants it.
type contender struct {
	number uint32
	heavy.Entry[Identity]
}

// rank decides which tenants of full plans have names from now on.
func (s *State) rank(now time.Time) []Change {
	s.noteSeen()
	var changes []Change
	named := s.named()
	for number, plan := range s.plans {
		if plan.budget < 0 || plan.tenants == plan.named && plan.named <= plan.budget {
			continue
		}
		named, challengers := s.weighed(named[number], plan, now), s.challengers(plan, now)
		for plan.named > plan.budget { // it was larger when the state was stored
			changes = append(changes, s.demote(named[0], Budget, nil))
			named = named[1:]
		}
		for len(challengers) > 0 && plan.named < plan.budget {
			changes = append(changes, s.promote(challengers[0], Room, nil))
			challengers = challengers[1:]
		}
		if plan.weights == nil { // whoever comes first takes the room
			changes = append(changes, s.silence(named)...)
		}
		changes = append(changes, s.swap(named, challengers)...)
	}
	return changes
}

// named returns the tenants with names, by plan.
func (s *State) named() [][]uint32 {
	plans := make([][]uint32, len(s.plans))
	for number := uint32(1); number < s.tenants.next; number++ {
		if t := s.tenants.at(number); t.named && s.plans[t.plan].budget >= 0 {
			plans[t.plan] = append(plans[t.plan], number)
		}
	}
	return plans
}

// swap lets challengers take the places of tenants that are silent, or outweighed by far and not only just named.
func (s *State) swap(named, challengers []contender) []Change {
	var changes []Change
	stale, settled := s.before(s.settings.StaleAfter), s.before(s.settings.MinStay)
	for _, loser := range named {
		if len(challengers) == 0 {
			break
		}
		t, winner := s.tenants.at(loser.number), challengers[0]
		reason := Outweighed
		switch {
		case t.seen < stale:
			reason = Silent
		case t.since > settled || winner.Low() <= 0 || winner.Low() < s.settings.Enter*loser.High:
			continue
		}
		challengers = challengers[1:]
		changes = append(changes, s.demote(loser, reason, &winner), s.promote(winner, reason, &loser))
	}
	return changes
}

// silence takes the names of silent tenants away.
func (s *State) silence(named []contender) []Change {
	var changes []Change
	for _, c := range named {
		if s.tenants.at(c.number).seen < s.before(s.settings.StaleAfter) {
			changes = append(changes, s.demote(c, Silent, nil))
		}
	}
	return changes
}

func (s *State) promote(c contender, reason Reason, instead *contender) Change {
	s.stats.Promotions++
	s.name(c.number, s.batch.second)
	return s.change(c, true, reason, instead)
}

func (s *State) demote(c contender, reason Reason, instead *contender) Change {
	s.stats.Demotions++
	s.fold(c.number)
	return s.change(c, false, reason, instead)
}

func (s *State) change(c contender, named bool, reason Reason, instead *contender) Change {
	t := s.tenants.at(c.number)
	change := Change{
		Tenant: t.name, Plan: s.plans[t.plan].name, Tier: s.tiers[t.tier],
		Named: named, Reason: reason, Weight: c.High, Error: c.Error,
	}
	if instead != nil {
		change.Counterpart = s.tenants.at(instead.number).name
	}
	return change
}

// weighed returns tenants of a plan with what they weigh: the silent ones first, then the lightest.
func (s *State) weighed(numbers []uint32, plan *plan, now time.Time) []contender {
	all := make([]contender, 0, len(numbers))
	for _, number := range numbers {
		c := contender{number: number}
		if plan.weights != nil {
			c.Entry = plan.weights.Bounds(s.tenants.at(number).identity, now)
		}
		all = append(all, c)
	}
	stale := s.before(s.settings.StaleAfter)
	slices.SortFunc(all, func(a, b contender) int {
		x, y := s.tenants.at(a.number), s.tenants.at(b.number)
		return cmp.Or(
			compareBool(y.seen < stale, x.seen < stale), cmp.Compare(a.High, b.High), cmp.Compare(x.name, y.name))
	})
	return all
}

// challengers returns the tenants of a plan that have no name and are not silent, the heaviest first.
func (s *State) challengers(plan *plan, now time.Time) []contender {
	if plan.weights == nil {
		return nil
	}
	var all []contender
	stale := s.before(s.settings.StaleAfter)
	for _, entry := range plan.weights.Heaviest(now) {
		number := s.tenants.find(entry.Key)
		if number == 0 {
			continue
		}
		if t := s.tenants.at(number); !t.named && t.seen >= stale {
			all = append(all, contender{number: number, Entry: entry})
		}
	}
	return all
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// noteSeen notes when tenants with series of their own were last counted there.
func (s *State) noteSeen() {
	for number := uint32(1); number < s.series.next; number++ {
		sr := s.series.at(number)
		if sr.family == nil || sr.level != own {
			continue
		}
		t := s.tenants.at(sr.tenant)
		t.seen = max(t.seen, sr.seen)
	}
}

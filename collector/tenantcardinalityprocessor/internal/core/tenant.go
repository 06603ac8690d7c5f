package core

import (
	"cmp"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/heavy"
)

// tenant is one on one plan: one that changes its plan is another one from then on.
type tenant struct {
	identity Identity // 0: free
	name     string
	plan     uint16
	tier     uint16 // the last one it was routed with
	streams  uint32
	named    bool   // it has series of its own
	since    uint32 // s since 1970, when it was named
	seen     uint32 // s since 1970, when one of its own series last changed
}

func (t *tenant) id() Identity { return t.identity }

// plan shares out its budget of names.
type plan struct {
	name    string
	budget  int // -1: everybody has one
	named   int
	tenants int
	weights *heavy.Summary[Identity] // nil: nobody is ever folded, or everybody
}

func (p *plan) hasRoom() bool { return p.budget < 0 || p.named < p.budget }

// maxLabels bounds the different plans, and the different tiers, that are told apart: those after them share one.
const maxLabels = 1000

// planOf returns a plan's number. The first plan, 0, is that of tenants without one, and of those beyond the bound.
func (s *State) planOf(name string) uint16 {
	if number, known := s.planNumbers[name]; known {
		return number
	}
	if len(s.plans) >= maxLabels {
		return 0
	}
	return s.addPlan(name)
}

func (s *State) addPlan(name string) uint16 {
	budget, has := s.settings.Budgets[name]
	if !has {
		budget = s.settings.DefaultBudget
	}
	p := &plan{name: name, budget: budget}
	switch {
	case slices.Contains(s.settings.NeverFold, name):
		p.budget = -1
	case budget > 0 && len(s.settings.Weights) > 0:
		size := max(minCandidates, s.settings.Candidates*budget)
		p.weights = heavy.New[Identity](size, s.settings.HalfLife)
	}
	number := uint16(len(s.plans))
	s.plans = append(s.plans, p)
	s.planNumbers[name] = number
	return number
}

const minCandidates = 1000

// tierOf returns a tier's number; 0 is that of tenants without one, and of those beyond the bound.
func (s *State) tierOf(name string) uint16 {
	if number, known := s.tierNumbers[name]; known || len(s.tiers) >= maxLabels {
		return number
	}
	number := uint16(len(s.tiers))
	s.tiers = append(s.tiers, name)
	s.tierNumbers[name] = number
	return number
}

// tenantOf returns the number of a point's tenant. Nobody's number, 0, is that of points folded before they came here.
// One that is new is remembered if a stream of its is, and is named at once if its plan has room.
func (s *State) tenantOf(p *Point, remember bool) uint32 {
	if p.Tenant == s.settings.Other {
		return 0
	}
	identity := Identity(xxhash.Sum64String(p.Plan)).WithString(p.Tenant)
	number := s.tenants.find(identity)
	if number == 0 {
		if !remember {
			return 0
		}
		number = s.addTenant(identity, p)
	}
	t := s.tenants.at(number)
	if tier := s.tierOf(p.Tier); t.tier != tier {
		t.tier = tier
		s.tenants.touch(number)
	}
	if plan := s.plans[t.plan]; !t.named && plan.hasRoom() {
		s.name(number, s.batch.second)
	}
	return number
}

func (s *State) addTenant(identity Identity, p *Point) uint32 {
	number, t := s.tenants.take()
	*t = tenant{identity: identity, name: p.Tenant, plan: s.planOf(p.Plan), tier: s.tierOf(p.Tier)}
	s.tenants.enter(number)
	s.plans[t.plan].tenants++
	return number
}

// name gives a tenant series of its own: from each stream's next point on, it is routed there.
func (s *State) name(number, second uint32) {
	t := s.tenants.at(number)
	t.named, t.since, t.seen = true, second, second
	s.plans[t.plan].named++
	s.tenants.touch(number)
	if t.streams > 0 {
		s.epoch++
	}
}

// fold takes a tenant's own series away: the flush ends them.
func (s *State) fold(number uint32) {
	t := s.tenants.at(number)
	t.named = false
	s.folded++
	s.plans[t.plan].named--
	s.tenants.touch(number)
	s.epoch++
}

// releaseUnused forgets a tenant that has no stream.
func (s *State) releaseUnused(number uint32) {
	if number == 0 || s.tenants.at(number).streams > 0 {
		return
	}
	t := s.tenants.at(number)
	plan := s.plans[t.plan]
	plan.tenants--
	if t.named {
		plan.named--
		s.epoch++ // there is room for another one
	}
	s.tenants.remove(number)
}

func (s *State) planStats() []PlanStats {
	stats := make([]PlanStats, 0, len(s.plans))
	for _, plan := range s.plans {
		if plan.tenants > 0 {
			stats = append(stats, PlanStats{Plan: plan.name, Named: plan.named, Folded: plan.tenants - plan.named})
		}
	}
	slices.SortFunc(stats, func(a, b PlanStats) int { return cmp.Compare(a.Plan, b.Plan) })
	return stats
}

func seconds(t time.Time) uint32 { return uint32(max(t.Unix(), 0)) }

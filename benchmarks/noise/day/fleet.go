package main

import (
	"maps"
	"math"
	"slices"
)

// The catalogue's names that the day speaks of. Whoever renames one there is told so by `make bench-noise`.
const (
	queries       = "db.queries"
	durations     = "db.query.duration"
	failures      = "db.errors"
	limitHits     = "tenant.limit.hits"
	rejections    = "tenant.connection.rejections"
	breakerState  = "circuit_breaker.state"
	breakerOpened = "circuit_breaker.open"
	coldStarts    = "tenant.cold_starts"
	startTimes    = "tenant.cold_start.duration"
	transitions   = "tenant.tier.transitions"
	scaledToZero  = "tenant.scale_to_zero"
	ceilingHits   = "tenant.tier.ceiling.hits"
	cacheHits     = "tenant.cache.hits"
	affected      = "tenants.affected"
)

// filled are those of which the day has series.
var filled = []string{
	queries, durations, failures, limitHits, rejections, breakerState, breakerOpened, coldStarts, startTimes,
	transitions, scaledToZero, ceilingHits, cacheHits, affected, selfEvents, selfReports, selfRounds,
}

// statementsPerAccess is how many statements it takes for one access to the platform's caches.
const statementsPerAccess = 3

// trying is the share of the time that an open breaker lets somebody try: it is half-open.
const trying = 0.05

// recently is how long the collector's tenants.affected remembers a tenant: 5 minutes.
const recently = 300.0

// group is the tenants that share series: one, or a plan's others on a tier.
type group struct{ project, tier, plan string }

func (g group) key(metric, first, second string) key {
	return key{metric: metric, project: g.project, tier: g.tier, plan: g.plan, first: first, second: second}
}

// work is what a group is about to do in a step: expected numbers of statements.
type work struct {
	statements float64
	heavier    float64 // statements times how much heavier than usual they are
	away       float64 // tried in vain: their database cannot be reached, and their breakers do not know yet
	refused    float64 // their breakers are open
	opened     float64 // breakers that open
	breaker    float64 // the worst state
	waits      float64 // of noisy tenants
	ceilings   float64
}

// What circuit_breaker_state says.
const (
	closed   = 0.0
	halfOpen = 1.0
	open     = 2.0
)

// fleet is all tenants, and the series they fill.
type fleet struct {
	day       *Day
	chance    chance
	book      *book
	happening []occurrence
	plans     []string
	tenants   map[string][]*tenant
	born      map[group]bool
	was       map[string]condition // of the step before
	surging   map[*tenant]*Surge
	noisy     map[string][]*tenant

	// affectedAt is by plan and metric when it hit whom.
	affectedAt map[[2]string]map[string]float64
}

func newFleet(in *Input, b *book, c chance) (*fleet, error) {
	happening, err := in.Day.occurrences(c)
	if err != nil {
		return nil, err
	}
	f := &fleet{
		day: &in.Day, chance: c, book: b, happening: happening, plans: slices.Sorted(maps.Keys(in.Day.Plans)),
		tenants: map[string][]*tenant{}, born: map[group]bool{}, was: map[string]condition{},
		noisy: map[string][]*tenant{}, affectedAt: map[[2]string]map[string]float64{},
	}
	for _, plan := range f.plans {
		budget, bounded := in.Budgets[plan]
		if !bounded {
			budget = math.MaxInt
		}
		for _, t := range f.day.population(plan, budget, c) {
			f.tenants[plan] = append(f.tenants[plan], t)
			if t.noisy {
				f.noisy[plan] = append(f.noisy[plan], t)
			}
		}
	}
	return f, nil
}

// step lets the tenants live and work from one export to the next.
func (f *fleet) step(second float64) {
	f.surging = f.surges(second)
	for _, plan := range f.plans {
		now := conditionOf(plan, second, f.happening)
		f.book.silent[plan] = now.silent
		done, order := f.gather(plan, second, now)
		for _, g := range order {
			f.work(g, done[g], now, second)
		}
		f.logins(plan, now, second)
		f.affected(plan, second)
		f.was[plan] = now
	}
	f.starts(second)
}

// surges returns whose traffic is out of the ordinary now.
func (f *fleet) surges(second float64) map[*tenant]*Surge {
	now := map[*tenant]*Surge{}
	for _, o := range f.happening {
		if o.Surge != nil && o.at(second) {
			t := f.tenants[o.Surge.Plan][o.Surge.Rank]
			t.present, t.leaves, t.asleep = true, o.ends, false
			now[t] = o.Surge
		}
	}
	return now
}

// gather moves a plan's tenants on, and returns what each group is about to do, in the tenants' order.
func (f *fleet) gather(plan string, second float64, now condition) (map[group]*work, []group) {
	done, order := map[group]*work{}, []group{}
	for _, t := range f.tenants[plan] {
		f.tell(t, t.live(f.day, second, f.chance), now, second)
		g := group{t.project, t.tier, plan}
		w, known := done[g]
		if !known {
			w = &work{}
			done[g] = w
			order = append(order, g)
		}
		if t.present {
			f.expect(w, t, now, second)
		}
	}
	return done, order
}

// expect adds what a tenant is about to do.
func (f *fleet) expect(w *work, t *tenant, now condition, second float64) {
	behaviour := f.day.Plans[t.plan]
	n, heavier := behaviour.Statements*t.size*f.day.traffic(t.region, second)*f.day.Export, 1.0
	if surge := f.surging[t]; surge != nil {
		n *= surge.Times
		heavier = surge.Heavier
		w.waits += surge.Waits * f.day.Export / 60
	}
	switch {
	case t.luck >= now.away:
		w.statements += n
		w.heavier += n * heavier
		w.breaker = max(w.breaker, closed)
	case t.luck >= f.was[t.plan].away:
		w.away += n
		w.breaker = max(w.breaker, closed)
		w.opened++
		f.affect(t.plan, t.own, breakerOpened, second)
	default:
		w.refused += n
		w.breaker = max(w.breaker, halfOpen)
		if f.chance.share() >= trying {
			w.breaker = open
		}
	}
	if t.noisy {
		w.waits += behaviour.Noisy.HitsPerMinute * f.day.Export / 60
		w.ceilings += behaviour.Noisy.CeilingsPerHour * f.day.Export / 3600
	}
}

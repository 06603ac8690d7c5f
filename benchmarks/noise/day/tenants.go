package main

import (
	"cmp"
	"fmt"
	"slices"
)

// tenant is one of them, with its state.
type tenant struct {
	project string // as Prometheus has it: its own, or _other
	own     string
	plan    string
	tier    string
	region  int
	size    float64
	luck    float64 // whose database is away when a share of them is: those of the least
	noisy   bool
	stays   bool // never leaves

	present bool
	asleep  bool
	since   float64 // second at which it came or left
	leaves  float64
}

// population returns the tenants of a plan, the largest first: they have series of their own, as many as the budget says.
func (d *Day) population(name string, budget int, c chance) []*tenant {
	plan, tenants := d.Plans[name], []*tenant{}
	for i := range plan.Tenants {
		stays := plan.Sessions == nil || plan.Sleepers != nil && c.share() >= *plan.Sleepers
		tenants = append(tenants, &tenant{
			own: fmt.Sprintf("proj_%s_%d", name, i), plan: name, tier: plan.Tier, region: d.region(c.share()),
			size: c.size(d.Spread), luck: c.share(), stays: stays, present: stays,
		})
	}
	slices.SortFunc(tenants, func(a, b *tenant) int { return cmp.Compare(b.size, a.size) })
	for i, t := range tenants {
		t.project = other
		if i < budget {
			t.project = t.own
		}
	}
	for range plan.Noisy.Tenants { // any of them
		t := tenants[c.below(len(tenants))]
		t.noisy, t.stays, t.present = true, true, true
	}
	for _, t := range tenants { // the tenants begin long after they came
		if t.stays {
			continue
		}
		t.asleep = c.share() > plan.Sessions.PerDay*(plan.Sessions.Lasts+plan.Sessions.Sleeps)/day
		t.since = -d.Before*3600 - c.share()*plan.Sessions.Sleeps
	}
	return tenants
}

func (d *Day) region(draw float64) int {
	for i, r := range d.Regions {
		if draw -= r.Share; draw < 0 {
			return i
		}
	}
	return len(d.Regions) - 1
}

// change is what a tenant did in a step.
type change int

const (
	nothing change = iota
	came           // and found its compute running
	woke           // and had to wait for it
	left
	demoted // it left, and is WARM again
	slept
	promoted
)

// live moves a tenant on by one export's time.
func (t *tenant) live(d *Day, second float64, c chance) change {
	sessions := d.Plans[t.plan].Sessions
	if t.stays {
		return nothing
	}
	switch {
	case t.present && second >= t.leaves:
		t.present, t.since = false, second
		if t.tier == d.Plans[t.plan].Tier {
			return left
		}
		t.tier = d.Plans[t.plan].Tier
		return demoted
	case t.present && sessions.Promoted > 0 && t.tier == "WARM" && second-t.since > sessions.Promoted:
		t.tier = "HOT"
		return promoted
	case t.present:
		return nothing
	case c.share() < sessions.PerDay/day*d.Export*d.traffic(t.region, second)/d.meanTraffic():
		woken := t.asleep
		t.present, t.asleep, t.since, t.leaves = true, false, second, second+c.after(sessions.Lasts)
		if woken {
			return woke
		}
		return came
	case !t.asleep && second-t.since > sessions.Sleeps:
		t.asleep = true
		return slept
	}
	return nothing
}

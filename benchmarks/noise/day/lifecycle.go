package main

// tell counts what a tenant's coming and going means: starts, transitions, compute given up.
func (f *fleet) tell(t *tenant, what change, now condition, second float64) {
	switch what {
	case woke:
		f.start(t, now, second)
		f.transition(t, "COLD", t.tier, "automatic_promotion")
	case promoted:
		f.transition(t, "WARM", "HOT", "automatic_promotion")
	case demoted:
		f.transition(t, "HOT", "WARM", "automatic_demotion")
	case slept:
		f.book.add(group{t.project, t.tier, t.plan}.key(scaledToZero, "idle_timeout", ""), 1)
		f.transition(t, t.tier, "COLD", "scale_to_zero")
	}
}

func (f *fleet) transition(t *tenant, from, to, why string) {
	k := key{metric: transitions, project: t.project, plan: t.plan, first: from, second: to, third: why}
	f.book.add(k, 1)
}

// start is a cold start: some of the time its pages are still near.
func (f *fleet) start(t *tenant, now condition, second float64) {
	took := f.day.Plans[t.plan].Start.distribution(now.starts).Quantile(f.chance.share())
	level := []string{"L1_miss", "L2_hit", "L3_hit"}[f.chance.below(3)]
	f.book.observeOne(key{metric: startTimes, project: t.project, plan: t.plan, first: level}, took)
	f.hit(group{t.project, "", t.plan}, 1, key{metric: coldStarts, first: "COLD"}, []*tenant{t}, second)
}

// starts are the cold starts that an incident causes, at its beginning.
func (f *fleet) starts(second float64) {
	for _, o := range f.happening {
		if o.ColdStarts == 0 || second < o.begins || second >= o.begins+f.day.Export {
			continue
		}
		for i := range o.ColdStarts {
			tenants := f.tenants[o.Plans[0]]
			f.start(tenants[i%len(tenants)], condition{starts: 1}, second)
		}
	}
}

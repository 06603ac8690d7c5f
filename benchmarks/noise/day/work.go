package main

// tried is how many times a second a breaker that is open lets somebody try, in each of its tenants' processes together.
const tried = 0.1

// work draws what a group does in a step, and counts it.
func (f *fleet) work(g group, w *work, now condition, second float64) {
	if !f.born[g] {
		f.born[g] = true
		f.book.born(g.project, g.tier, g.plan)
	}
	f.book.set(g.key(breakerState, "", ""), w.breaker)
	f.book.add(g.key(breakerOpened, "", ""), w.opened)
	f.book.add(g.key(ceilingHits, "connections", ""), f.chance.events(w.ceilings))
	f.statements(g, w, now, second)
	f.limits(g, w, now, second)
	f.unreachable(g, w, second)
	f.caches(g, w, now)
}

// statements draws those that reach the server: how long they take, and how they end.
func (f *fleet) statements(g group, w *work, now condition, second float64) {
	plan := f.day.Plans[g.plan]
	if w.statements == 0 {
		return
	}
	shares, mean := plan.Latency.shares(f.book.metrics[durations].Buckets, now.stretch*w.heavier/w.statements)
	wrong := f.chance.events(w.statements * plan.SQLErrors)
	cut := f.chance.events(w.statements * (plan.Failing + now.failing) / 2)
	ended := f.chance.events(w.statements * (plan.Failing + now.failing) / 2)
	went, buckets := 0.0, make([]float64, len(shares))
	for i, share := range shares {
		buckets[i] = f.chance.events((w.statements - wrong - cut - ended) * share)
		went += buckets[i]
	}
	buckets[0] += wrong + cut + ended // an error takes little time
	f.book.observe(g.key(durations, "SELECT", ""), buckets, went*mean)
	f.book.add(g.key(queries, "ok", ""), went)
	f.book.add(g.key(queries, "error", ""), wrong+cut+ended)
	f.fail(g, wrong, "syntax_error_or_access_rule_violation", second)
	f.fail(g, cut, "connection_exception", second)
	f.fail(g, ended, "operator_intervention", second)
	f.hit(g, ended, key{metric: limitHits, first: "query_timeout", second: "rejected"}, f.tenants[g.plan], second)
}

// limits draws who has to wait for a connection, and who gets none: of all, and of those who are at their limits all day.
func (f *fleet) limits(g group, w *work, now condition, second float64) {
	plan, everybody := f.day.Plans[g.plan], f.tenants[g.plan]
	queued := f.chance.events(w.statements * plan.Queued * now.queued)
	f.hit(g, queued, key{metric: limitHits, first: "max_pool_size", second: "queued"}, everybody, second)
	f.reject(g, f.chance.events(w.statements*plan.Rejected), "connection_timeout", "timeout", "pool_exhausted",
		everybody, second)
	waited := f.chance.events(w.waits * (1 - plan.Noisy.Rejected))
	f.hit(g, waited, key{metric: limitHits, first: "max_pool_size", second: "queued"}, f.noisy[g.plan], second)
	f.reject(g, f.chance.events(w.waits*plan.Noisy.Rejected), "max_concurrent", "insufficient_resources",
		"tier_limit_exceeded", f.noisy[g.plan], second)
}

// reject counts those whom a limit refuses a connection: as hits, as failures, as rejections.
func (f *fleet) reject(g group, n float64, limit, failure, why string, whom []*tenant, second float64) {
	f.hit(g, n, key{metric: limitHits, first: limit, second: "rejected"}, whom, second)
	f.hit(g, n, key{metric: failures, first: failure}, whom, second)
	f.hit(g, n, key{metric: rejections, first: why}, whom, second)
}

// unreachable draws what becomes of statements whose database is away: a few are tried, breakers refuse the rest.
func (f *fleet) unreachable(g group, w *work, second float64) {
	f.fail(g, f.chance.events(w.away*0.1), "connection", second)
	f.refuse(g, f.chance.events(w.away*0.9), "circuit_open", second)
	if w.refused > 0 {
		f.fail(g, f.chance.events(min(w.refused, tried*f.day.Export)), "connection", second)
		f.refuse(g, f.chance.events(w.refused), "circuit_open", second)
	}
}

// caches draws whom the platform's caches answer. No rule asks of which tenant: the plan's sums have it all, in fewer series.
func (f *fleet) caches(g group, w *work, now condition) {
	all := group{other, f.day.Plans[g.plan].Tier, g.plan}
	levels := f.day.Plans[g.plan].Caches
	for _, level := range []string{"L1", "L2", "L3", "L4_miss"} {
		share := levels[level]
		switch level {
		case "L1":
			share -= levels["L1"] * now.cold
		case "L3":
			share += levels["L1"] * now.cold
		}
		f.book.add(all.key(cacheHits, level, ""), f.chance.events(w.statements/statementsPerAccess*share))
	}
}

// logins draws those with a wrong password, all of one tenant.
func (f *fleet) logins(plan string, now condition, second float64) {
	n := f.chance.events(now.authFailures * f.day.Export)
	t := f.tenants[plan][0]
	g := group{t.project, t.tier, plan}
	f.fail(g, n, "invalid_authorization_specification", second)
	f.refuse(g, n, "auth_failure", second)
}

func (f *fleet) fail(g group, n float64, what string, second float64) {
	f.hit(g, n, key{metric: failures, first: what}, f.tenants[g.plan], second)
}

func (f *fleet) refuse(g group, n float64, why string, second float64) {
	f.hit(g, n, key{metric: rejections, first: why}, f.tenants[g.plan], second)
}

// hit counts trouble, and whom it hits: a group of one, or any of those who may be meant.
func (f *fleet) hit(g group, n float64, k key, whom []*tenant, second float64) {
	f.book.add(g.key(k.metric, k.first, k.second), n)
	if g.project != other && n > 0 {
		f.affect(g.plan, g.project, k.metric, second)
		return
	}
	for range min(int(n), len(whom)) {
		f.affect(g.plan, whom[f.chance.below(len(whom))].own, k.metric, second)
	}
}

func (f *fleet) affect(plan, whom, metric string, second float64) {
	of := [2]string{plan, metric}
	if f.affectedAt[of] == nil {
		f.affectedAt[of] = map[string]float64{}
	}
	f.affectedAt[of][whom] = second
}

// affected says how many tenants each kind of trouble has hit of late.
func (f *fleet) affected(plan string, second float64) {
	for _, metric := range f.book.metrics[affected].free()[0].Values {
		whom := f.affectedAt[[2]string{plan, metric}]
		for project, when := range whom {
			if when < second-recently {
				delete(whom, project)
			}
		}
		f.book.set(key{metric: affected, plan: plan, first: metric}, float64(len(whom)))
	}
}

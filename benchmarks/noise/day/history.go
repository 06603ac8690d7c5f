package main

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// minute is how often the past is written down; nobody looks at it closer.
const minute = 60.0

// remember writes the past, without which long windows would see nothing but the morning: what the rules would have
// recorded of each objective, at the day's own averages; and the last of it as the tenants live it.
func (w *world) remember() error {
	d := &w.in.Day
	averages := d.averages(w.in.Promises)
	for second := -d.History * 3600; second < 0; second += minute {
		at, appender := d.at(second), w.prometheus.db.AppenderV2(context.Background())
		for i := range averages {
			name := w.in.Judged
			if averages[i].missed {
				name = w.in.Missed
			}
			if err := averages[i].append(appender, name, at); err != nil {
				return err
			}
		}
		if second >= -d.Before*3600 {
			w.live(second, minute)
			if err := w.series.export(appender, at.UnixMilli()); err != nil {
				return err
			}
		}
		if err := appender.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// average is a minute of what a plan's objective judges, or of what misses it.
type average struct {
	plan, slo string
	missed    bool
	events    float64
	ref       storage.SeriesRef
}

func (a *average) append(to storage.AppenderV2, name string, at time.Time) (err error) {
	of := labels.FromStrings(labels.MetricName, name, "plan", a.plan, "slo", a.slo)
	a.ref, err = to.Append(a.ref, of, 0, at.UnixMilli(), a.events, nil, nil, storage.AOptions{})
	return err
}

// averages returns what is judged of each plan and objective, and missed, in a minute of a day without any trouble.
func (d *Day) averages(promises map[string]Promise) []average {
	var all []average
	add := func(plan, slo string, events, bad float64) {
		all = append(all, average{plan: plan, slo: slo, events: events * minute})
		all = append(all, average{plan: plan, slo: slo, events: bad * minute, missed: true})
	}
	for name, plan := range d.Plans {
		promise, present := promises[name], plan.present()
		statements := plan.Statements * float64(plan.Tenants) * present * d.meanTraffic()
		add(name, "query_latency", statements, statements*(1-plan.Latency.within(promise.QueryP95, 1)))
		add(name, "availability", statements, statements*(plan.Failing+plan.Rejected))
		if plan.Sessions != nil && promise.ColdStartP95 > 0 {
			starts := plan.Sessions.PerDay * plan.sleepers() * float64(plan.Tenants) / day
			add(name, "cold_start", starts, starts*(1-plan.Start.within(promise.ColdStartP95, 1)))
		}
	}
	return all
}

// sleepers returns the share of tenants that leave at all.
func (p Plan) sleepers() float64 {
	switch {
	case p.Sessions == nil:
		return 0
	case p.Sleepers == nil:
		return 1
	}
	return *p.Sleepers
}

// present returns the share of tenants that are there, on average.
func (p Plan) present() float64 {
	if p.Sessions == nil {
		return 1
	}
	return 1 - p.sleepers() + p.sleepers()*p.Sessions.PerDay*p.Sessions.Lasts/day
}

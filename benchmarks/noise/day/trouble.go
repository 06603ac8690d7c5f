package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// occurrence is one time that a trouble happens, in seconds of the day.
type occurrence struct {
	*Trouble
	begins, ends float64
}

func (o occurrence) at(second float64) bool { return o.begins <= second && second < o.ends }

// occurrences returns when everything happens, incidents last. What happens so often a day comes at any time, to any one of
// its plans.
func (d *Day) occurrences(c chance) (all []occurrence, err error) {
	for i := range d.Ordinary {
		t := &d.Ordinary[i]
		switch {
		case t.Every > 0:
			for at := 0.0; at < day; at += t.Every {
				all = append(all, occurrence{t, at, at + t.Lasts})
			}
		case t.PerDay > 0:
			all = append(all, t.scattered(c)...)
		default:
			if all, err = t.placed(all); err != nil {
				return nil, err
			}
		}
	}
	for i := range d.Incidents {
		if all, err = d.Incidents[i].placed(all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

const day = 86400.0

func (t *Trouble) scattered(c chance) (all []occurrence) {
	for _, plan := range t.Plans {
		of := *t
		of.Plans = []string{plan}
		for at := c.after(day / t.PerDay); at < day; at += c.after(day / t.PerDay) {
			all = append(all, occurrence{&of, at, at + t.Lasts})
		}
	}
	return all
}

func (t *Trouble) placed(after []occurrence) ([]occurrence, error) {
	at, err := time.Parse("15:04", t.At)
	if err != nil {
		return nil, fmt.Errorf("%s%s: at: %q is no clock time like 09:30", t.Name, t.What, t.At)
	}
	begins := float64(at.Hour()*3600 + at.Minute()*60)
	return append(after, occurrence{t, begins, begins + t.Lasts}), nil
}

// condition is how a plan fares at a moment: all troubles at once.
type condition struct {
	stretch, queued, starts float64 // times as much as usual
	failing, away, cold     float64 // shares
	authFailures            float64
	silent                  bool
}

func conditionOf(plan string, second float64, all []occurrence) condition {
	now := condition{stretch: 1, queued: 1, starts: 1}
	for _, o := range all {
		if !o.at(second) || !slices.Contains(o.Plans, plan) {
			continue
		}
		now.stretch *= orOne(o.Stretch)
		now.queued *= orOne(o.Queued)
		now.starts *= orOne(o.Starts)
		now.failing += o.Failing
		now.away = max(now.away, o.Away)
		now.cold = max(now.cold, o.ColdCaches)
		now.authFailures += o.AuthFailures
		now.silent = now.silent || o.Silent
	}
	return now
}

func orOne(times float64) float64 {
	if times == 0 {
		return 1
	}
	return times
}

// traffic returns a region's traffic at a second of the day, as a share of that of its busiest hour.
func (d *Day) traffic(region int, second float64) float64 {
	local := second/3600 + d.Regions[region].UTC
	return d.Night + (1-d.Night)*(1+math.Cos(2*math.Pi*(local-14)/24))/2
}

// meanTraffic is the mean of traffic over a day.
func (d *Day) meanTraffic() float64 { return (1 + d.Night) / 2 }

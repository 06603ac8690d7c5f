package core

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

// moment is a point's start and time in seconds, and its value; a start of -1 is unknown.
type moment struct{ start, time, value float64 }

func TestAWindowIsCountedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		points []moment
		want   []Outcome
	}{
		"one after the other":         {[]moment{{0, 10, 1}, {10, 20, 1}}, []Outcome{Accepted, Accepted}},
		"the same again":              {[]moment{{0, 10, 1}, {0, 10, 1}}, []Outcome{Accepted, Duplicate}},
		"it overlaps":                 {[]moment{{0, 10, 1}, {5, 15, 1}}, []Outcome{Accepted, Duplicate}},
		"a gap is filled late":        {[]moment{{0, 10, 1}, {20, 30, 1}, {10, 20, 1}}, []Outcome{Accepted, Accepted, Accepted}},
		"… only once":                 {[]moment{{0, 10, 1}, {20, 30, 1}, {10, 20, 1}, {10, 20, 1}}, []Outcome{Accepted, Accepted, Accepted, Duplicate}},
		"… in parts":                  {[]moment{{0, 10, 1}, {30, 40, 1}, {10, 20, 1}, {20, 30, 1}}, []Outcome{Accepted, Accepted, Accepted, Accepted}},
		"… from its end":              {[]moment{{0, 10, 1}, {30, 40, 1}, {20, 30, 1}, {10, 20, 1}}, []Outcome{Accepted, Accepted, Accepted, Accepted}},
		"before all others":           {[]moment{{20, 30, 1}, {10, 20, 1}, {0, 10, 1}}, []Outcome{Accepted, Accepted, Accepted}},
		"the newest gap counts":       {[]moment{{0, 10, 1}, {20, 30, 1}, {40, 50, 1}, {30, 40, 1}, {10, 20, 1}}, []Outcome{Accepted, Accepted, Accepted, Accepted, Duplicate}},
		"it reaches out of the gap":   {[]moment{{0, 10, 1}, {20, 30, 1}, {15, 25, 1}}, []Outcome{Accepted, Accepted, Duplicate}},
		"unknown start, then the end": {[]moment{{-1, 10, 1}, {-1, 20, 1}, {-1, 20, 1}, {-1, 15, 1}}, []Outcome{Accepted, Accepted, Duplicate, Duplicate}},
		"a window of no length":       {[]moment{{10, 10, 1}, {20, 20, 1}, {20, 20, 1}}, []Outcome{Accepted, Accepted, Duplicate}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			sum := int64(0)
			for i, p := range c.points {
				outcome := l.add(in{metric: hits, tenant: "a", plan: "pro", start: p.start, time: p.time, number: IntNumber(1)})
				assert.Equal(t, c.want[i], outcome, "point %d", i)
				if outcome == Accepted {
					sum++
				}
			}
			assert.Equal(t, []string{"hits{pro,a} " + value(OutputPoint{Number: IntNumber(sum)})}, l.flush(100))
		})
	}
}

func TestACumulativeStreamCountsItsIncrease(t *testing.T) {
	for name, c := range map[string]struct {
		points []moment
		want   []Outcome
		sum    string
	}{
		"differences":              {[]moment{{1, 10, 5}, {1, 20, 8}}, []Outcome{Accepted, Accepted}, "8"},
		"the same again":           {[]moment{{1, 10, 5}, {1, 10, 5}}, []Outcome{Accepted, Duplicate}, "5"},
		"an older one comes late":  {[]moment{{1, 20, 8}, {1, 10, 5}, {1, 30, 9}}, []Outcome{Accepted, Duplicate, Accepted}, "9"},
		"a later start":            {[]moment{{1, 10, 5}, {15, 20, 3}}, []Outcome{Accepted, Accepted}, "8"},
		"… with a higher value":    {[]moment{{1, 10, 5}, {15, 20, 7}}, []Outcome{Accepted, Accepted}, "12"},
		"an earlier start":         {[]moment{{15, 20, 3}, {1, 25, 5}}, []Outcome{Accepted, Late}, "3"},
		"it fell under one start":  {[]moment{{1, 10, 5}, {1, 20, 2}}, []Outcome{Accepted, Reset}, "7"},
		"no start is known":        {[]moment{{-1, 10, 5}, {-1, 20, 8}}, []Outcome{Baseline, Accepted}, "3"},
		"… and it fell":            {[]moment{{-1, 10, 5}, {-1, 20, 2}}, []Outcome{Baseline, Reset}, "2"},
		"… and it comes again":     {[]moment{{-1, 10, 5}, {-1, 10, 5}}, []Outcome{Baseline, Duplicate}, "0"},
		"the start becomes known":  {[]moment{{-1, 10, 5}, {1, 20, 8}, {1, 30, 9}}, []Outcome{Baseline, Accepted, Accepted}, "4"},
		"a start that is the time": {[]moment{{10, 10, 5}, {10, 20, 8}}, []Outcome{Baseline, Accepted}, "3"},
		"… after others":           {[]moment{{1, 10, 5}, {20, 20, 8}, {20, 30, 9}}, []Outcome{Accepted, Baseline, Accepted}, "6"},
		"nothing happened":         {[]moment{{1, 10, 5}, {1, 20, 5}}, []Outcome{Accepted, Accepted}, "5"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			for i, p := range c.points {
				point := in{metric: queries, tenant: "a", plan: "pro", start: p.start, time: p.time, number: IntNumber(int64(p.value))}
				assert.Equal(t, c.want[i], l.add(point), "point %d", i)
			}
			assert.Equal(t, []string{"queries{pro,a} " + c.sum}, l.flush(100))
		})
	}
}

func TestAStreamOfAKnownProcessIsNew(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.Since = epoch.Add(100e9) })
	l.now = 100
	first := in{metric: queries, tenant: "a", plan: "pro", start: 1, time: 100, number: IntNumber(70)}
	second, third := first, first
	second.tenant, second.time = "b", 100.5 // of the same collection: some SDKs take the time for each instrument
	third.tenant, third.time = "c", 110
	assert.Equal(t, Baseline, l.add(first), "who knows what was counted before")
	assert.Equal(t, Baseline, l.add(second))
	assert.Equal(t, Accepted, l.add(third), "it was not there at the last collection")
	assert.Equal(t, []string{"queries{pro,_other} 70", "queries{pro,a} 0", "queries{pro,b} 0"}, l.flush(20))
}

func TestAStreamThatMayHaveBeenForgottenIsNotNew(t *testing.T) {
	l := newLab(t)
	l.now = 3 * 3600
	old := in{metric: queries, tenant: "a", plan: "pro", start: 1, time: l.now, number: IntNumber(70)}
	assert.Equal(t, Baseline, l.add(old))
}

func TestAStreamThatWasRefusedBeforeIsNotNew(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.MaxStreams = 1 })
	a := in{metric: queries, tenant: "a", plan: "pro", start: 1, time: 10, number: IntNumber(5)}
	b := a
	b.tenant = "b"
	assert.Equal(t, Accepted, l.add(a))
	assert.Equal(t, Refused, l.add(b))
	l.state.settings.MaxStreams, l.now = 2, 2*3600
	b.time, b.number = l.now, IntNumber(1000)
	assert.Equal(t, Baseline, l.add(b), "1000 at once would be a spike")
}

func TestAPointThatIsNoneDoesNotMakeStreamsOld(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.Since = epoch.Add(100e9) })
	l.now = 100
	l.add(in{metric: queries, tenant: "a", plan: "pro", start: 1, time: 100, number: IntNumber(70)})
	l.add(in{metric: queries, tenant: "b", plan: "pro", start: 1, time: 100, number: IntNumber(-1)})
	l.add(took(waits, "b", 100, &Explicit{Count: 7}))
	assert.Equal(t, Accepted, l.add(in{metric: queries, tenant: "b", plan: "pro", start: 1, time: 110, number: IntNumber(2)}))
}

func TestValuesThatCannotBeSummedUpAreRefused(t *testing.T) {
	inf, nan := FloatNumber(math.Inf(1)), FloatNumber(math.NaN())
	for _, number := range []Number{inf, nan, IntNumber(-1), FloatNumber(-0.5)} {
		l := newLab(t)
		for _, metric := range []Metric{hits, queries} {
			assert.Equal(t, Refused, l.add(in{metric: metric, tenant: "a", plan: "pro", start: 1, time: 2, number: number}))
		}
		assert.Empty(t, l.flush(10))
		assert.Zero(t, l.state.Stats().Streams)
	}
}

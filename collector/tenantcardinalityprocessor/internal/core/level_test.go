package core

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// reading is a gauge's or an up-down counter's value at a time.
func reading(metric Metric, process, tenant, plan string, time float64, value int64) in {
	return in{metric: metric, process: process, tenant: tenant, plan: plan, start: 0, time: time, number: IntNumber(value)}
}

func TestLevelsOfProcessesAndTenantsAddUp(t *testing.T) {
	for _, metric := range []Metric{memory, pool} {
		l := newLab(t)
		l.add(reading(metric, "1", "a", "pro", 1, 10), reading(metric, "2", "a", "pro", 1, 5), reading(metric, "1", "b", "free", 1, 1))
		l.add(reading(metric, "2", "c", "free", 1, 2), reading(metric, "1", "b", "free", 2, 4))
		assert.Equal(t, []string{metric.Name + "{free,_other} 6", metric.Name + "{pro,a} 15"}, l.flush(10))
		l.add(reading(metric, "1", "a", "pro", 11, 1))
		assert.Equal(t, Duplicate, l.add(reading(metric, "1", "a", "pro", 10, 100)), "it is older")
		assert.Equal(t, []string{metric.Name + "{free,_other} 6", metric.Name + "{pro,a} 6"}, l.flush(10))
	}
}

func TestAStateFoldsToTheHighest(t *testing.T) {
	l := newLab(t)
	l.add(reading(state, "1", "a", "free", 1, 0), reading(state, "1", "b", "free", 1, 2), reading(state, "1", "c", "free", 1, 1))
	assert.Equal(t, []string{"state{free,_other} 2"}, l.flush(10))
	l.add(reading(state, "1", "b", "free", 11, 0))
	assert.Equal(t, []string{"state{free,_other} 1"}, l.flush(10))
}

func TestADeltaUpDownCounterIsWhatItsStreamsAddedUpTo(t *testing.T) {
	metric := pool
	metric.Delta = true
	add := func(process string, start, time float64, value int64) in {
		return in{metric: metric, process: process, tenant: "a", plan: "pro", start: start, time: time, number: IntNumber(value)}
	}
	l := newLab(t)
	l.add(add("1", 0, 1, 3), add("2", 0, 1, 4))
	assert.Equal(t, []string{"pool{pro,a} 7"}, l.flush(10))
	assert.Equal(t, Duplicate, l.add(add("1", 0, 1, 3)))
	assert.Equal(t, Duplicate, l.add(add("1", 0.5, 2, 3)), "it overlaps")
	assert.Equal(t, Accepted, l.add(add("1", 1, 2, -2)))
	assert.Equal(t, []string{"pool{pro,a} 5"}, l.flush(10))
}

func TestTheLevelsOfASilentProcessStopCounting(t *testing.T) {
	l := newLab(t)
	l.add(reading(memory, "1", "a", "pro", 1, 10), reading(memory, "2", "a", "pro", 1, 5))
	l.flush(10)
	l.now = 200
	l.add(reading(memory, "2", "a", "pro", 200, 6))
	assert.Equal(t, []string{"memory{pro,a} 6"}, l.flush(150))
	assert.Equal(t, []string{"memory{pro,a} ends"}, l.flush(200))
	assert.Empty(t, l.flush(10))
	l.add(reading(memory, "1", "a", "pro", 560, 3))
	assert.Equal(t, []string{"memory{pro,a} 3"}, l.flush(10))
}

func TestALevelThatIsNotReportedAnyMoreStopsCounting(t *testing.T) {
	l := newLab(t)
	l.add(reading(memory, "1", "a", "pro", 1, 10), reading(memory, "1", "b", "pro", 1, 5))
	l.now = 400
	l.add(reading(memory, "1", "b", "pro", 400, 6))
	assert.Equal(t, []string{"memory{pro,b} 6"}, l.flush(0.1))
}

func TestAStreamThatEndsStopsCountingAndMayComeBack(t *testing.T) {
	l := newLab(t)
	end := reading(memory, "1", "a", "pro", 2, 0)
	end.end = true
	l.add(reading(memory, "1", "a", "pro", 1, 10), reading(memory, "2", "a", "pro", 1, 5))
	l.flush(10)
	l.add(end)
	assert.Equal(t, []string{"memory{pro,a} 5"}, l.flush(10))
	l.add(reading(memory, "1", "a", "pro", 21, 1))
	assert.Equal(t, []string{"memory{pro,a} 6"}, l.flush(10))

	queried := in{metric: queries, tenant: "a", plan: "pro", start: 1, time: 22, number: IntNumber(7)}
	ended := queried
	ended.end, ended.time = true, 23
	l.add(queried, ended)
	queried.time, queried.number = 24, IntNumber(9)
	l.add(queried)
	assert.Contains(t, l.flush(10), "queries{pro,a} 9", "it was remembered")
}

func TestLevelsFollowTheirTenant(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.Budgets, s.MinStay = map[string]int{"pro": 1}, 0 })
	l.add(hit("a", "pro", 1, 1), hit("b", "pro", 1, 100))
	l.add(reading(memory, "1", "a", "pro", 1, 7), reading(memory, "1", "b", "pro", 1, 30))
	l.add(reading(state, "1", "a", "pro", 1, 2), reading(state, "1", "b", "pro", 1, 1))
	assert.Equal(t, []string{
		"hits{pro,_other} 100", "hits{pro,a} ends", // outweighed at the first flush
		"memory{pro,_other} 37", "state{pro,_other} 2",
	}, l.flush(10), "b's levels are its own from its next point on")
	l.add(reading(memory, "1", "b", "pro", 11, 31), reading(state, "1", "b", "pro", 11, 3))
	assert.Equal(t, []string{
		"hits{pro,_other} 100", "memory{pro,_other} 7", "memory{pro,b} 31", "state{pro,_other} 2", "state{pro,b} 3",
	}, l.flush(10))
	l.add(hit("a", "pro", 21, 1000))
	assert.Equal(t, []string{
		"hits{pro,_other} 1100", "memory{pro,_other} 38", "memory{pro,b} ends", "state{pro,_other} 3", "state{pro,b} ends",
	}, l.flush(10))
	l.add(reading(memory, "1", "a", "pro", 31, 8))
	assert.Contains(t, l.flush(10), "memory{pro,_other} 31")
	assert.Contains(t, l.lines(func(OutputPoint) bool { return true }), "memory{pro,a} 8")
}

package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// sample is a point of one series: when it is, when it began, both in seconds, and its value.
type sample struct {
	start, at float64
	value     string
}

func (l *lab) samples(series string) (all []sample) {
	for _, p := range l.output.Points {
		if labels(p) == series {
			all = append(all, sample{float64(p.Start-at(0)) / 1e9, float64(p.Time-at(0)) / 1e9, value(p)})
		}
	}
	return all
}

func TestASeriesBeginsAtZeroWhenItsFirstIncreaseMayHaveHappened(t *testing.T) {
	l := newLab(t)
	l.add(in{metric: hits, tenant: "a", plan: "pro", start: 4, time: 5, number: IntNumber(2)})
	l.add(in{metric: hits, process: "2", tenant: "a", plan: "pro", start: 3, time: 8, number: IntNumber(3)})
	l.add(in{metric: hits, tenant: "b", plan: "pro", start: -1, time: 5, number: IntNumber(2)})
	l.flush(10)
	assert.Equal(t, []sample{{3, 3.001, "0"}, {3, 10, "5"}}, l.samples("hits{pro,a}"))
	assert.Equal(t, []sample{{0.003, 0.004, "0"}, {0.003, 10, "2"}}, l.samples("hits{pro,b}"), "not before the previous flush")
	l.flush(10)
	assert.Equal(t, []sample{{3, 20, "5"}}, l.samples("hits{pro,a}"))
}

func TestAStartIsBeforeTheFlushWhateverTheClockOfAProcessSays(t *testing.T) {
	l := newLab(t)
	l.add(in{metric: hits, tenant: "a", plan: "pro", start: 1000, time: 1001, number: IntNumber(2)})
	l.flush(10)
	assert.Equal(t, []sample{{9.997, 9.998, "0"}, {9.997, 10, "2"}}, l.samples("hits{pro,a}"))
}

func TestWithoutZeroPointsThereIsNone(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.ZeroPoints = false })
	l.add(hit("a", "pro", 5, 2))
	l.flush(10)
	assert.Equal(t, []sample{{4, 10, "2"}}, l.samples("hits{pro,a}"))
}

func TestLevelsHaveNoZeroPoint(t *testing.T) {
	l := newLab(t)
	l.add(reading(memory, "1", "a", "pro", 1, 10))
	l.flush(10)
	assert.Equal(t, []sample{{-float64(at(0)) / 1e9, 10, "10"}}, l.samples("memory{pro,a}"), "a gauge has no start")
}

func TestASeriesWithoutStreamsEnds(t *testing.T) {
	l := newLab(t)
	l.add(hit("a", "pro", 1, 1), reading(memory, "2", "b", "pro", 1, 1))
	l.flush(10)
	for l.now < 290 { // the second process lives on, the first one is silent
		l.add(reading(memory, "2", "b", "pro", l.now, 1))
		assert.Contains(t, l.flush(10), "hits{pro,a} 1")
	}
	l.flush(20)
	assert.Equal(t, []sample{{0.003, 309.999, "1"}, {0.003, 310, "ends"}}, l.samples("hits{pro,a}"))
	l.flush(10)
	assert.Empty(t, l.samples("hits{pro,a}"))
	l.add(hit("a", "pro", 305, 5))
	l.flush(10)
	assert.Equal(t, []sample{{320.003, 320.004, "0"}, {320.003, 330, "5"}}, l.samples("hits{pro,a}"), "it begins anew")
}

func TestAnIdleStreamOfALivingProcessKeepsItsSeries(t *testing.T) {
	l := newLab(t)
	l.add(hit("a", "pro", 1, 1))
	for range 100 {
		l.add(reading(memory, "", "b", "pro", l.now+1, 1))
		assert.Contains(t, l.flush(30), "hits{pro,a} 1")
	}
}

func TestWhatIsSilentForLongIsForgotten(t *testing.T) {
	l := newLab(t)
	l.add(hit("a", "pro", 1, 1), reading(memory, "2", "b", "free", 1, 1))
	l.add(in{metric: queries, process: "2", tenant: "c", plan: "enterprise", start: 1, time: 2, number: IntNumber(1)})
	l.flush(10)
	l.now = 3500
	l.add(reading(memory, "2", "b", "free", 3500, 1))
	l.flush(200)
	stats := l.state.Stats()
	assert.Equal(t, []int{1, 2}, []int{stats.Resources, stats.Streams}, "what is cumulative is remembered as long as its process")
	l.flush(4000)
	l.flush(10)
	stats = l.state.Stats()
	assert.Equal(t, []int{0, 0, 0}, []int{stats.Resources, stats.Streams, stats.Series})
	assert.Empty(t, stats.Plans)
	for _, number := range []int{l.state.streams.used, l.state.tenants.used, len(l.state.familyNumbers), len(l.state.names)} {
		assert.Zero(t, number)
	}
}

func TestAnIdleDeltaStreamIsForgottenWhileItsProcessLives(t *testing.T) {
	l := newLab(t)
	l.add(hit("a", "pro", 1, 1))
	for l.now < 3700 {
		l.add(reading(memory, "", "b", "pro", l.now+1, 1))
		l.flush(100)
	}
	assert.Equal(t, 1, l.state.Stats().Streams)
}

func TestTimestampsOfASeriesNeverGoBack(t *testing.T) {
	l := newLab(t)
	l.add(hit("a", "pro", 1, 1))
	l.flush(10)
	last := l.output.Time
	for _, seconds := range []float64{0, -5, 0, 0.001, -100} {
		l.add(hit("a", "pro", l.now+20, 1), hit("b", "pro", l.now+20, 1))
		l.flush(seconds)
		for _, series := range []string{"hits{pro,a}", "hits{pro,b}"} {
			for _, s := range l.samples(series) {
				assert.Greater(t, s.at, float64(last-at(0))/1e9)
				assert.Less(t, s.start, s.at)
			}
		}
		last = l.output.Time
	}
}

func TestWhatWasNotTakenIsSentAgain(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.MinStay, s.Budgets = 0, map[string]int{"pro": 1} })
	l.add(hit("a", "pro", 5, 1), hit("b", "pro", 5, 100))
	first := l.state.Flush(epoch.Add(10 * time.Second)) // a begins and ends in it
	l.output = first
	ended := []sample{{4, 4.001, "0"}, {4, 9.999, "1"}, {4, 10, "ends"}}
	assert.Equal(t, ended, l.samples("hits{pro,a}"))
	assert.Equal(t, []sample{{4, 4.001, "0"}, {4, 10, "100"}}, l.samples("hits{pro,_other}"))
	l.flush(20)
	assert.Equal(t, ended, l.samples("hits{pro,a}"))
	assert.Equal(t, []sample{{4, 4.001, "0"}, {4, 20, "100"}}, l.samples("hits{pro,_other}"))
	l.flush(10)
	assert.Empty(t, l.samples("hits{pro,a}"))
	assert.Equal(t, []sample{{4, 30, "100"}}, l.samples("hits{pro,_other}"))
}

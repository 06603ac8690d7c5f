package core

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

var (
	durations = Metric{Scope: "scope", Name: "durations", Kind: KindExplicit, Delta: true}
	waits     = Metric{Scope: "scope", Name: "waits", Kind: KindExplicit}
)

// histogram has a sum of 1 for each value.
func histogram(bounds []float64, counts ...uint64) *Explicit {
	h := &Explicit{HasSum: true, Bounds: bounds, Counts: counts}
	for _, count := range counts {
		h.Count += count
		h.Sum += float64(count)
	}
	return h
}

func took(metric Metric, tenant string, time float64, h *Explicit) in {
	return in{metric: metric, tenant: tenant, plan: "pro", start: time - 1, time: time, explicit: h}
}

func TestHistogramsAddUp(t *testing.T) {
	l := newLab(t)
	bounds := []float64{1, 5}
	l.add(took(durations, "a", 1, histogram(bounds, 1, 0, 2)), took(durations, "a", 2, histogram(bounds, 0, 4, 8)))
	assert.Equal(t, Duplicate, l.add(took(durations, "a", 2, histogram(bounds, 0, 4, 8))))
	assert.Equal(t, []string{"durations{pro,a} 15 15 [1 5] [1 4 10]"}, l.flush(10))
	assert.Equal(t, []string{"durations{pro,a} 0 0 [1 5] [0 0 0]"}, l.lines(func(p OutputPoint) bool { return p.Time < l.output.Time }))
	assert.Equal(t, 5, l.state.Stats().Series, "three buckets, sum, count")
}

func TestACumulativeHistogramCountsItsIncrease(t *testing.T) {
	bounds := []float64{1, 5}
	point := func(start, time float64, counts ...uint64) in {
		return in{metric: waits, tenant: "a", plan: "pro", start: start, time: time, explicit: histogram(bounds, counts...)}
	}
	with := func(point in, h *Explicit) in {
		point.explicit = h
		return point
	}
	for name, c := range map[string]struct {
		points []in
		last   Outcome
		want   string
	}{
		"differences":        {[]in{point(1, 2, 1, 0, 2), point(1, 3, 2, 0, 4)}, Accepted, "6 6 [1 5] [2 0 4]"},
		"the same again":     {[]in{point(1, 2, 1, 0, 2), point(1, 2, 1, 0, 2)}, Duplicate, "3 3 [1 5] [1 0 2]"},
		"a later start":      {[]in{point(1, 2, 1, 0, 2), point(3, 4, 2, 0, 0)}, Accepted, "5 5 [1 5] [3 0 2]"},
		"the count fell":     {[]in{point(1, 2, 1, 0, 2), point(1, 3, 1, 0, 1)}, Reset, "5 5 [1 5] [2 0 3]"},
		"only a bucket fell": {[]in{point(1, 2, 1, 0, 2), point(1, 3, 0, 9, 2)}, Reset, "14 14 [1 5] [1 9 4]"},
		"no start is known":  {[]in{point(-1, 2, 1, 0, 2), point(-1, 3, 2, 0, 4)}, Accepted, "3 3 [1 5] [1 0 2]"},
		"only one of those":  {[]in{point(-1, 2, 1, 0, 2)}, Baseline, "0 0 [1 5] [0 0 0]"},
		"finer under one start": {
			[]in{point(1, 2, 1, 0, 2), with(point(1, 3), histogram([]float64{1, 3, 5}, 2, 1, 1, 3))}, Accepted, "7 7 [1 5] [2 2 3]",
		},
		"coarser under one start": {
			[]in{point(1, 2, 1, 0, 2), with(point(1, 3), histogram([]float64{5}, 3, 4))}, Accepted, "7 7 [5] [3 4]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			assert.Equal(t, c.last, l.add(c.points...))
			assert.Equal(t, []string{"waits{pro,a} " + c.want}, l.flush(10))
		})
	}
}

func TestFinerBucketsAreMerged(t *testing.T) {
	l := newLab(t)
	l.add(took(durations, "a", 1, histogram([]float64{1, 5}, 1, 2, 4)))
	l.flush(10)
	l.add(took(durations, "a", 11, histogram([]float64{0.5, 1, 2, 5, 10}, 1, 1, 1, 1, 1, 1)))
	assert.Equal(t, []string{"durations{pro,a} 13 13 [1 5] [3 4 6]"}, l.flush(10))
	assert.Zero(t, l.state.Stats().Rebucketed)
}

func TestASeriesWhoseBoundsMustChangeBeginsAnew(t *testing.T) {
	l := newLab(t)
	l.add(took(durations, "a", 1, histogram([]float64{1, 2, 5}, 1, 2, 4, 8)))
	l.flush(10)
	l.add(took(durations, "a", 11, histogram([]float64{1, 2, 5}, 1, 1, 1, 1)))
	l.add(took(durations, "a", 12, histogram([]float64{1, 3, 5}, 1, 2, 4, 8)))
	l.add(took(durations, "a", 13, histogram([]float64{1, 2, 5}, 0, 1, 2, 0)))
	l.flush(10)
	assert.Equal(t, []sample{
		{0.003, 10.001, "19 19 [1 2 5] [2 3 5 9]"}, {0.003, 10.002, "ends"},
		{11, 11.001, "0 0 [1 5] [0 0 0]"}, {11, 20, "18 18 [1 5] [1 9 8]"},
	}, l.samples("durations{pro,a}"))
	assert.Equal(t, uint64(1), l.state.Stats().Rebucketed)
	assert.Equal(t, 5, l.state.Stats().Series)
	marker := l.output.Points[1]
	assert.True(t, marker.NoValue)
	assert.Equal(t, []float64{1, 2, 5}, marker.Explicit.Bounds, "or its buckets would live on")
	assert.Equal(t, []uint64{0, 0, 0, 0}, marker.Explicit.Counts)
}

func TestASeriesThatWasNeverSentJustGetsItsBounds(t *testing.T) {
	l := newLab(t)
	l.add(took(durations, "a", 1, histogram([]float64{1, 2}, 1, 2, 4)), took(durations, "a", 2, histogram([]float64{3}, 8, 16)))
	l.flush(10)
	assert.Equal(t, []sample{{0.003, 0.004, "0 0 [] [0]"}, {0.003, 10, "31 31 [] [31]"}}, l.samples("durations{pro,a}"))
}

func TestBucketsAreOptional(t *testing.T) {
	l := newLab(t)
	l.add(took(durations, "a", 1, &Explicit{Count: 3, Sum: 3, HasSum: true}))
	l.add(took(durations, "a", 2, &Explicit{Count: 2, Sum: 2, HasSum: true}))
	assert.Equal(t, []string{"durations{pro,a} 5 5 [] [5]"}, l.flush(10))
}

func TestACumulativeHistogramWithoutBucketsCountsItsIncrease(t *testing.T) {
	for start, want := range map[float64]string{1: "9", -1: "6"} {
		l := newLab(t)
		for i, count := range []uint64{3, 5, 9} {
			l.add(in{
				metric: waits, tenant: "a", plan: "pro", start: start, time: float64(2 + i),
				explicit: &Explicit{Count: count, Sum: float64(count), HasSum: true},
			})
		}
		assert.Equal(t, []string{"waits{pro,a} " + want + " " + want + " [] [" + want + "]"}, l.flush(10))
	}
}

func TestASumThatIsNotCompleteIsNone(t *testing.T) {
	for _, without := range []*Explicit{
		{Count: 1, Counts: []uint64{1}},
		{Count: 1, Counts: []uint64{1}, HasSum: true, Sum: math.NaN()},
	} {
		l := newLab(t)
		l.add(took(durations, "a", 1, histogram(nil, 2)))
		l.flush(10)
		assert.True(t, l.output.Points[1].Explicit.HasSum)
		l.add(took(durations, "a", 11, without))
		l.flush(10)
		assert.False(t, l.output.Points[0].Explicit.HasSum)
		assert.Equal(t, uint64(3), l.output.Points[0].Explicit.Count)
	}
}

func TestWhatIsNoHistogramIsRefused(t *testing.T) {
	for name, h := range map[string]*Explicit{
		"too few counts":       {Count: 1, Bounds: []float64{1, 2}, Counts: []uint64{1, 0}},
		"no counts":            {Count: 1, Bounds: []float64{1, 2}},
		"counts, no bounds":    {Count: 1, Counts: []uint64{1, 0}},
		"they do not add up":   {Count: 2, Bounds: []float64{1}, Counts: []uint64{1, 0}},
		"more than all":        {Count: 1, Bounds: []float64{1}, Counts: []uint64{1, math.MaxUint64}},
		"more than exact":      {Count: 1<<53 + 1, Counts: []uint64{1<<53 + 1}},
		"bounds out of order":  {Count: 1, Bounds: []float64{2, 1}, Counts: []uint64{1, 0, 0}},
		"a bound there twice":  {Count: 1, Bounds: []float64{1, 1}, Counts: []uint64{1, 0, 0}},
		"a bound is no number": {Count: 1, Bounds: []float64{math.NaN()}, Counts: []uint64{1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			assert.Equal(t, Refused, l.add(took(durations, "a", 1, h)))
			assert.Empty(t, l.flush(10))
		})
	}
}

func TestRebucketKeepsEveryCount(t *testing.T) {
	h := histogram([]float64{1, 2, 3, 4}, 1, 2, 4, 8, 16)
	h.rebucket([]float64{2, 4})
	assert.Equal(t, histogram([]float64{2, 4}, 3, 12, 16), h)
	h.rebucket([]float64{})
	assert.Equal(t, []uint64{31}, h.Counts)
}

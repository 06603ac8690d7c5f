package core

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

var latencies = Metric{Scope: "scope", Name: "latencies", Kind: KindExponential, Delta: true}

// exponentialOf has a sum of 1 for each value.
func exponentialOf(scale int32, zeros uint64, offset int32, counts ...uint64) *Exponential {
	h := &Exponential{HasSum: true, Scale: scale, ZeroCount: zeros, Count: zeros, Positive: Buckets{offset, counts}}
	for _, count := range counts {
		h.Count += count
	}
	h.Sum = float64(h.Count)
	return h
}

func lasted(tenant string, time float64, h *Exponential) in {
	return in{metric: latencies, tenant: tenant, plan: "pro", start: time - 1, time: time, exponential: h}
}

func TestExponentialHistogramsAddUpAtTheCoarserScale(t *testing.T) {
	l := newLab(t)
	l.add(lasted("a", 1, exponentialOf(1, 1, 3, 1, 2, 4, 8))) // buckets 3 to 6
	assert.Equal(t, []string{"latencies{pro,a} 16 16 scale 1 zero 1 +3[1 2 4 8] -0[]"}, l.flush(10))
	l.add(lasted("a", 11, exponentialOf(0, 0, -1, 16, 0, 32))) // buckets −1 and 1
	assert.Equal(t, []string{"latencies{pro,a} 64 64 scale 0 zero 1 +-1[16 0 33 6 8] -0[]"}, l.flush(10))
	assert.Equal(t, 1, l.state.Stats().Series)
}

func TestACumulativeExponentialHistogramCountsItsIncrease(t *testing.T) {
	metric := latencies
	metric.Delta = false
	point := func(start, time float64, h *Exponential) in {
		return in{metric: metric, tenant: "a", plan: "pro", start: start, time: time, exponential: h}
	}
	for name, c := range map[string]struct {
		points []in
		last   Outcome
		want   string
	}{
		"differences": {
			[]in{point(1, 2, exponentialOf(0, 1, 2, 1, 2)), point(1, 3, exponentialOf(0, 3, 1, 1, 1, 5))},
			Accepted, "10 10 scale 0 zero 3 +1[1 1 5] -0[]",
		},
		"coarser": {
			[]in{point(1, 2, exponentialOf(1, 0, 2, 1, 2)), point(1, 3, exponentialOf(0, 0, 1, 4))},
			Accepted, "4 4 scale 0 zero 0 +1[4] -0[]",
		},
		"a later start": {
			[]in{point(1, 2, exponentialOf(0, 1, 2, 1)), point(3, 4, exponentialOf(0, 0, 2, 1))},
			Accepted, "3 3 scale 0 zero 1 +2[2] -0[]",
		},
		"it fell": {
			[]in{point(1, 2, exponentialOf(0, 0, 2, 4)), point(1, 3, exponentialOf(0, 0, 3, 9))},
			Reset, "13 13 scale 0 zero 0 +2[4 9] -0[]",
		},
		"the zeros did": {
			[]in{point(1, 2, exponentialOf(0, 2, 2, 4)), point(1, 3, exponentialOf(0, 1, 2, 9))},
			Reset, "16 16 scale 0 zero 3 +2[13] -0[]",
		},
		"unknown start": {
			[]in{point(-1, 2, exponentialOf(0, 1, 2, 1)), point(-1, 3, exponentialOf(0, 1, 2, 3))},
			Accepted, "2 2 scale 0 zero 0 +2[2] -0[]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			assert.Equal(t, c.last, l.add(c.points...))
			assert.Equal(t, []string{"latencies{pro,a} " + c.want}, l.flush(10))
		})
	}
}

func TestBucketsAreBounded(t *testing.T) {
	l := newLab(t)
	l.add(lasted("a", 1, exponentialOf(3, 0, 0, 1)), lasted("a", 2, exponentialOf(3, 0, 1000, 1)))
	l.flush(10)
	h := l.output.Points[1].Exponential
	assert.Equal(t, int32(0), h.Scale, "126 buckets; at scale 1 there would be 251")
	assert.Equal(t, map[int32]uint64{0: 1, 125: 1}, counted(h.Positive))
	assert.Len(t, h.Positive.Counts, 126)
}

func TestAWiderZeroBucketTakesWhatIsInIt(t *testing.T) {
	l := newLab(t)
	wide := exponentialOf(0, 1, 3, 1)
	wide.ZeroThreshold = 3                                                 // within (2, 4]
	l.add(lasted("a", 1, exponentialOf(0, 0, 0, 1, 2, 4)))                 // (1, 2], (2, 4], (4, 8]
	l.add(lasted("a", 2, wide), lasted("a", 3, exponentialOf(0, 0, 1, 8))) // (8, 16]; (2, 4]
	assert.Equal(t, []string{"latencies{pro,a} 17 17 scale 0 zero 12 +2[4 1] -0[]"}, l.flush(10))
	assert.InDelta(t, 4, l.output.Points[1].Exponential.ZeroThreshold, 0, "a bucket is not split")
}

func TestWhatIsNoExponentialHistogramIsRefused(t *testing.T) {
	threshold := func(t float64) *Exponential { return &Exponential{ZeroThreshold: t} }
	for name, h := range map[string]*Exponential{
		"too coarse":               exponentialOf(-11, 0, 0, 1),
		"they do not add up":       {Count: 2, Positive: Buckets{0, []uint64{1}}},
		"beyond all numbers":       exponentialOf(0, 0, 5000, 1),
		"below all numbers":        exponentialOf(0, 0, math.MinInt32, 1),
		"a negative threshold":     threshold(-1),
		"an infinite threshold":    threshold(math.Inf(1)),
		"a threshold is not one":   threshold(math.NaN()),
		"the negative ones are so": {Count: 1, Negative: Buckets{math.MaxInt32, []uint64{1}}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, Refused, newLab(t).add(lasted("a", 1, h)))
		})
	}
}

func TestAScaleThatIsTooFineIsNot(t *testing.T) {
	l := newLab(t)
	assert.Equal(t, Accepted, l.add(lasted("a", 1, exponentialOf(25, 0, 64, 1, 2))))
	assert.Equal(t, []string{"latencies{pro,a} 3 3 scale 20 zero 0 +2[3] -0[]"}, l.flush(10))
}

// values are what histograms are made of.
func drawValues(t *rapid.T) []float64 {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) float64 {
		return math.Ldexp(rapid.Float64Range(-1, 1).Draw(t, "mantissa"), rapid.IntRange(-40, 40).Draw(t, "exponent"))
	}), 0, 30).Draw(t, "values")
}

// record makes a histogram of values by the definition: bucket i has what is in (base^i, base^(i+1)].
func record(values []float64, scale int32, threshold float64) *Exponential {
	h := &Exponential{Scale: scale, ZeroThreshold: threshold, Count: uint64(len(values))}
	positive, negative := map[int32]uint64{}, map[int32]uint64{}
	for _, v := range values {
		index := int32(math.Ceil(math.Log2(math.Abs(v))*math.Ldexp(1, int(scale)))) - 1
		switch {
		case math.Abs(v) <= threshold:
			h.ZeroCount++
		case v > 0:
			positive[index]++
		default:
			negative[index]++
		}
	}
	h.Positive, h.Negative = dense(positive), dense(negative)
	return h
}

func dense(counts map[int32]uint64) (b Buckets) {
	for index := range counts {
		if len(b.Counts) == 0 || index < b.Offset {
			b.Offset, b.Counts = index, []uint64{0}
		}
	}
	for index, count := range counts {
		for int32(len(b.Counts)) <= index-b.Offset {
			b.Counts = append(b.Counts, 0)
		}
		b.Counts[index-b.Offset] += count
	}
	return b
}

func TestMergingIsWhatRecordingAllWouldHaveBeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first, second := drawValues(t), drawValues(t)
		scale := rapid.Int32Range(-2, 3)
		a, b := record(first, scale.Draw(t, "a"), 0), record(second, scale.Draw(t, "b"), 0)
		merged, other := &Exponential{Scale: a.Scale, HasSum: true}, &Exponential{}
		for _, h := range []*Exponential{a, b} {
			if !other.take(h) {
				t.Fatal("refused")
			}
			merged.merge(other)
		}
		want := record(slices.Concat(first, second), merged.Scale, 0)
		assert.Equal(t, want.Count, merged.Count)
		assert.Equal(t, want.ZeroCount, merged.ZeroCount)
		assert.Equal(t, counted(want.Positive), counted(merged.Positive))
		assert.Equal(t, counted(want.Negative), counted(merged.Negative))
		assert.LessOrEqual(t, max(len(merged.Positive.Counts), len(merged.Negative.Counts)), maxBuckets)
		if !merged.subtract(other) && len(first) > 0 {
			t.Fatal("fell")
		}
		assert.Equal(t, counted(record(first, merged.Scale, 0).Positive), counted(merged.Positive))
	})
}

// counted returns the buckets that have counts.
func counted(b Buckets) map[int32]uint64 {
	counts := map[int32]uint64{}
	for i, count := range b.Counts {
		if count > 0 {
			counts[b.Offset+int32(i)] = count
		}
	}
	return counts
}

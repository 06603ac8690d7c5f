package heavy

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const halfLife = time.Hour

var began = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// truth is what a summary without a bound on its size would know.
type truth struct {
	weights map[string]float64
	at      time.Time
}

func (t *truth) add(key string, weight float64, now time.Time) {
	t.decay(now)
	t.weights[key] += weight
}

func (t *truth) decay(now time.Time) {
	factor := math.Exp2(-float64(now.Sub(t.at)) / float64(halfLife))
	for key := range t.weights {
		t.weights[key] *= factor
	}
	t.at = now
}

func (t *truth) total() float64 {
	total := 0.0
	for _, weight := range t.weights {
		total += weight
	}
	return total
}

// rounding is how far sums of float64 may be apart that were added up in different orders.
const rounding = 1e-9

func atMost(a, b, scale float64) bool { return a <= b+rounding*scale }

func TestBoundsHoldForAnyStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		summary := New[string](rapid.IntRange(1, 12).Draw(t, "size"), halfLife)
		exact := truth{weights: map[string]float64{}, at: began}
		now := began
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "wait") == 0 {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(400*halfLife)).Draw(t, "by")))
			}
			if rapid.IntRange(0, 29).Draw(t, "restart") == 0 {
				restored := New[string](summary.Size(), halfLife)
				restored.Restore(slices.Collect(summary.All(now)), summary.Total(now), now)
				summary = restored
			}
			key := fmt.Sprint(rapid.IntRange(0, 25).Draw(t, "key"))
			weight := rapid.Float64Range(0.001, 1000).Draw(t, "weight")
			summary.Add(key, weight, now)
			exact.add(key, weight, now)
		}
		exact.decay(now)
		check(t, summary, exact, now)
	})
}

func check(t *rapid.T, summary *Summary[string], exact truth, now time.Time) {
	total := exact.total()
	if got := summary.Total(now); math.Abs(got-total) > rounding*total {
		t.Fatalf("the total is %v, not %v", got, total)
	}
	if summary.Len() > summary.Size() {
		t.Fatalf("%d keys in a summary of %d", summary.Len(), summary.Size())
	}
	most := total / float64(summary.Size())
	for key := range exact.weights {
		entry, weight := summary.Bounds(key, now), exact.weights[key]
		if !atMost(entry.Low(), weight, total) || !atMost(weight, entry.High, total) {
			t.Fatalf("%s weighs %v, not between %v and %v", key, weight, entry.Low(), entry.High)
		}
		if !atMost(entry.Error, most, total) {
			t.Fatalf("the error of %s is %v, more than %v", key, entry.Error, most)
		}
		named := slices.ContainsFunc(summary.Heaviest(now), func(e Entry[string]) bool { return e.Key == key })
		if weight > most*(1+rounding) && !named {
			t.Fatalf("%s weighs %v, more than %v, and is not in the summary", key, weight, most)
		}
	}
}

func TestTheSameCallsGiveTheSameSummary(t *testing.T) {
	fill := func() []Entry[int] {
		summary := New[int](50, halfLife)
		for i := range 5000 {
			summary.Add(i*i%701, float64(i%7), began.Add(time.Duration(i)*time.Minute))
		}
		return summary.Heaviest(began.Add(5000 * time.Minute))
	}
	if first, second := fill(), fill(); !slices.Equal(first, second) {
		t.Errorf("%v and %v", first, second)
	}
}

func TestARestoredSummaryGoesOnLikeTheOneItWas(t *testing.T) {
	summary, restored := New[int](20, halfLife), New[int](20, halfLife)
	for i := range 1000 {
		summary.Add(i*i%97, 1, began)
	}
	restored.Restore(slices.Collect(summary.All(began)), summary.Total(began), began)
	for i := range 1000 {
		summary.Add(i*i%89, 1, began)
		restored.Add(i*i%89, 1, began)
	}
	if a, b := summary.Heaviest(began), restored.Heaviest(began); !slices.Equal(a, b) {
		t.Errorf("%v\n%v", a, b)
	}
}

func TestWeightHalvesInAHalfLife(t *testing.T) {
	summary := New[string](2, halfLife)
	summary.Add("a", 8, began)
	for _, after := range []int{1, 2, 3} {
		got := summary.Bounds("a", began.Add(time.Duration(after)*halfLife)).High
		if want := 8 / math.Exp2(float64(after)); got != want {
			t.Errorf("after %d half-lives %v, not %v", after, got, want)
		}
	}
}

func TestTheLightestGivesItsPlaceAndItsWeightAsError(t *testing.T) {
	summary := New[string](2, halfLife)
	summary.Add("a", 5, began)
	summary.Add("b", 3, began)
	summary.Add("c", 1, began) // takes the place of b
	want := []Entry[string]{{"a", 5, 0}, {"c", 4, 3}}
	if got := summary.Heaviest(began); !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
	if got, want := summary.Bounds("b", began), (Entry[string]{"b", 4, 4}); got != want {
		t.Errorf("%v, not %v", got, want)
	}
}

func TestCenturiesOfSilenceLeaveNothingButZeros(t *testing.T) {
	summary := New[string](2, time.Second)
	summary.Add("a", 1e300, began)
	later := began.AddDate(290, 0, 0)
	summary.Add("b", 1, later)
	if got := summary.Bounds("a", later).High; got != 0 {
		t.Errorf("a still weighs %v", got)
	}
	if got := summary.Total(later); got != 1 {
		t.Errorf("the total is %v", got)
	}
}

func TestAClockThatGoesBackAddsLess(t *testing.T) {
	summary := New[string](2, halfLife)
	summary.Add("a", 1, began)
	summary.Add("a", 1, began.Add(-halfLife))
	if got := summary.Bounds("a", began).High; got != 1.5 {
		t.Errorf("%v, not 1.5", got)
	}
}

func TestWhatIsNoWeightCountsNothing(t *testing.T) {
	summary := New[string](2, halfLife)
	for _, weight := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		summary.Add("a", weight, began)
	}
	if summary.Len() != 0 || summary.Total(began) != 0 {
		t.Errorf("%d keys of weight %v", summary.Len(), summary.Total(began))
	}
}

func TestRestoreLeavesOutWhatIsNoWeightAndWhatIsTooMuch(t *testing.T) {
	summary := New[string](2, halfLife)
	entries := []Entry[string]{{"nan", math.NaN(), 0}, {"a", 1, 0}, {"b", 4, 1}, {"c", 2, 0}, {"more", 1, 2}}
	summary.Restore(entries, 6, began)
	if got, want := summary.Heaviest(began), []Entry[string]{{"b", 4, 1}, {"c", 2, 0}}; !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, tenants := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(tenants), func(b *testing.B) {
			summary := New[uint32](2000, halfLife)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				summary.Add(uint32(i*2654435761)%uint32(tenants), 1, began)
			}
		})
	}
}

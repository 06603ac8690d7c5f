package affected

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"
)

const window = 5 * time.Minute

var began = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func tenant(i int) uint64 { return xxhash.Sum64String(fmt.Sprintf("proj_%d", i)) }

// TestCountsWhatAWindowHolds compares with a set of who was seen when.
func TestCountsWhatAWindowHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counter, seen, now := New(window), map[int]time.Time{}, began
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(window/8)).Draw(t, "wait")))
			who := rapid.IntRange(0, 99).Draw(t, "who")
			counter.Add(tenant(who), now)
			seen[who] = now
		}
		now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*window)).Draw(t, "at last")))
		var least, most uint64
		for _, at := range seen {
			if now.Sub(at) <= window {
				least++
			}
			if now.Sub(at) <= window+window/Parts {
				most++
			}
		}
		if got := counter.Count(now); got < least || got > most {
			t.Fatalf("%d tenants, not between %d and %d", got, least, most)
		}
	})
}

func TestTheErrorIsAsPublished(t *testing.T) {
	for _, tenants := range []int{0, 1, 10, 400, 1_000, 10_000, 100_000} {
		counter := New(window)
		for i := range tenants {
			for part := range 3 { // seen in several parts of the window, counted once
				counter.Add(tenant(i), began.Add(time.Duration(part)*window/Parts))
			}
		}
		got := float64(counter.Count(began.Add(window / 2)))
		tolerated := 3 * 0.016 * float64(tenants) // three standard errors
		if tenants <= 1_000 {
			tolerated = 0.001 * float64(tenants)
		}
		if math.Abs(got-float64(tenants)) > tolerated {
			t.Errorf("%v of %d tenants", got, tenants)
		}
	}
}

func TestMemoryHasABound(t *testing.T) {
	counter := New(window)
	for i := range 500_000 {
		counter.Add(tenant(i), began.Add(time.Duration(i)*time.Millisecond))
	}
	data, err := counter.AppendBinary(nil)
	if err != nil || len(data) > (Parts+1)*(1<<precision+32) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func TestARestartChangesNothing(t *testing.T) {
	for _, tenants := range []int{0, 7, 20_000} {
		counter, restored := New(window), New(window)
		for i := range tenants {
			counter.Add(tenant(i), began.Add(time.Duration(i%9)*window/Parts))
		}
		data, err := counter.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := restored.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		if a, b := counter.Count(began.Add(window)), restored.Count(began.Add(window)); a != b {
			t.Errorf("%d, %d after the restart", a, b)
		}
	}
}

func TestAnotherWindowBeginsAnew(t *testing.T) {
	counter, other := New(window), New(2*window)
	counter.Add(tenant(1), began)
	data, _ := counter.AppendBinary(nil)
	if err := other.UnmarshalBinary(data); err != nil || other.Count(began) != 0 {
		t.Errorf("%d tenants, %v", other.Count(began), err)
	}
}

func TestCorruptDataIsRefusedAndChangesNothing(t *testing.T) {
	counter := New(window)
	counter.Add(tenant(1), began)
	data, _ := counter.AppendBinary(nil)
	without, _ := New(window).AppendBinary(nil)
	for cut := range len(data) {
		if cut == len(without) {
			continue
		}
		if err := counter.UnmarshalBinary(data[:cut]); err == nil {
			t.Errorf("%d of %d bytes were taken", cut, len(data))
		}
	}
	if counter.Count(began) != 1 {
		t.Error("what was refused changed something")
	}
}

func TestAClockThatGoesBackLosesNobody(t *testing.T) {
	counter := New(window)
	counter.Add(tenant(1), began.Add(window))
	counter.Add(tenant(2), began)
	counter.Add(tenant(3), time.Unix(-1, 0))
	if got := counter.Count(began.Add(window)); got < 2 {
		t.Errorf("%d tenants", got)
	}
}

func FuzzUnmarshal(f *testing.F) {
	counter := New(window)
	counter.Add(tenant(1), began)
	data, _ := counter.AppendBinary(nil)
	f.Add(data)
	f.Fuzz(func(_ *testing.T, data []byte) {
		counter := New(window)
		_ = counter.UnmarshalBinary(data)
		counter.Add(tenant(1), began)
		counter.Count(began)
	})
}

func BenchmarkAdd(b *testing.B) {
	counter := New(window)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		counter.Add(uint64(i%100_000)*0x9E3779B97F4A7C15, began)
	}
}

func BenchmarkCount(b *testing.B) {
	for _, tenants := range []int{10, 1_000, 100_000} {
		counter := New(window)
		for i := range tenants * Parts {
			counter.Add(tenant(i%tenants), began.Add(time.Duration(i/tenants)*window/Parts))
		}
		b.Run(fmt.Sprint(tenants), func(b *testing.B) {
			for b.Loop() {
				counter.Count(began.Add(window))
			}
		})
	}
}

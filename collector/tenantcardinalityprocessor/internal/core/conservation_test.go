package core

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

// amounts is what was counted, by metric, plan and part: of a histogram its count, sum, and buckets that all have.
type amounts map[string]float64

func (a amounts) add(b amounts, times float64) {
	for key, amount := range b {
		a[key] += times * amount
	}
}

// source is a stream that counts, of a process that began at some time.
type source struct {
	in
	total in      // what it has counted since it began
	last  amounts // what was accepted of that; nil: nothing
}

// shapes are different bounds; 1 and 5 are in all of them.
var shapes = [][]float64{{1, 5}, {0.5, 1, 5}, {1, 2, 5, 10}, {1, 5, 10}}

// draw makes a value for a point of a metric: dyadic, so that sums are exact in any order.
func draw(t *rapid.T, metric Metric) (i in) {
	n := func(label string) uint64 { return uint64(rapid.IntRange(0, 5).Draw(t, label)) }
	switch metric.Kind {
	case KindExplicit:
		bounds := rapid.SampledFrom(shapes).Draw(t, "bounds")
		counts := make([]uint64, len(bounds)+1)
		for b := range counts {
			counts[b] = n("bucket")
		}
		i.explicit = histogram(bounds, counts...)
	case KindExponential:
		i.exponential = exponentialOf(int32(n("scale")), n("zero"), int32(n("offset"))-2, n("bucket"), n("bucket"), n("bucket"))
	default:
		if i.number = IntNumber(int64(n("number"))); rapid.IntRange(0, 9).Draw(t, "float") == 0 {
			i.number = FloatNumber(float64(n("number")) / 4)
		}
	}
	return i
}

// plus adds what is counted in an interval to a total. A process keeps its bounds and its scale.
func plus(a, b in) in {
	switch {
	case b.explicit != nil && a.explicit == nil, b.exponential != nil && a.exponential == nil:
		return b
	case b.explicit != nil:
		h := histogram(a.explicit.Bounds, slices.Clone(a.explicit.Counts)...)
		h.Counts[0] += b.explicit.Counts[0]
		h.Counts[len(h.Counts)-1] += b.explicit.Counts[1]
		a.explicit = histogram(h.Bounds, h.Counts...)
	case b.exponential != nil:
		h := &Exponential{}
		h.set(a.exponential)
		other := &Exponential{}
		other.set(b.exponential)
		h.merge(other)
		a.exponential = h
	default:
		a.number.add(b.number)
	}
	return a
}

// measure takes a value to pieces.
func measure(name, plan string, n Number, h *Explicit, x *Exponential) amounts {
	key := name + "/" + plan + "/"
	switch {
	case h != nil:
		all := amounts{key + "count": float64(h.Count), key + "sum": h.Sum}
		for i, count := range h.Counts {
			for _, bound := range shapes[0] {
				if i < len(h.Bounds) && h.Bounds[i] <= bound {
					all[key+fmt.Sprint("le ", bound)] += float64(count)
				}
			}
		}
		return all
	case x != nil:
		all := amounts{key + "count": float64(x.Count), key + "sum": x.Sum, key + "zero": float64(x.ZeroCount)}
		coarse := &Exponential{}
		coarse.set(x)
		coarse.downscale(x.Scale + 1)
		for index, count := range counted(coarse.Positive) {
			all[key+fmt.Sprint("bucket ", index)] += float64(count)
		}
		return all
	}
	return amounts{key: n.AsFloat()}
}

// trial is a history that is going on, and what is true.
type trial struct {
	*lab
	sources []*source
	true    amounts // what was accepted
	flushed amounts // … when it was stored, with what the sources knew
	knew    []source
	alive   map[string]amounts // downstream: the last value of each series
	ended   amounts            // downstream: what those that ended were
}

var cumulativeLatencies = Metric{Scope: "scope", Name: "latencies", Kind: KindExponential}

func newTrial(t *testing.T, maxSeries int) *trial {
	tr := &trial{true: amounts{}, alive: map[string]amounts{}, ended: amounts{}, flushed: amounts{}}
	tr.lab = newLab(t, func(s *Settings) {
		s.MaxSeries, s.MinStay, s.Enter, s.HalfLife, s.Since = maxSeries, 0, 1.1, time.Minute, epoch.Add(50*time.Second)
		s.Budgets = map[string]int{"pro": 1, "free": 0}
	})
	plans := []string{"pro", "pro", "pro", "free", "enterprise"}
	for i := range 20 {
		metric := []Metric{hits, queries, durations, waits, latencies, cumulativeLatencies}[i%6]
		s := &source{in: in{metric: metric, process: fmt.Sprint(i % 3), tenant: fmt.Sprint("t", i%5), plan: plans[i%5]}}
		tr.sources = append(tr.sources, s)
		tr.knew = append(tr.knew, *s)
	}
	return tr
}

// next returns a source's next point: of what is new, or of all since it began.
func (tr *trial) next(t *rapid.T, s *source) in {
	tr.now += 1
	point, value := s.in, draw(t, s.metric)
	if !s.metric.Delta {
		s.total = plus(s.total, value)
		value = s.total
	}
	point.number, point.explicit, point.exponential = value.number, value.explicit, value.exponential
	point.time = tr.now
	if s.metric.Delta {
		s.start = tr.now
	}
	return point
}

// report sends a point of a source, and sees what became of it.
func (tr *trial) report(t *rapid.T, s *source, point in) {
	says := measure(s.metric.Name, s.plan, point.number, point.explicit, point.exponential)
	switch outcome := tr.add(point); outcome {
	case Accepted, Reset:
		tr.true.add(says, 1)
		tr.true.add(s.last, -1)
		fallthrough
	case Baseline:
		if !s.metric.Delta {
			s.last = says
		}
	case Refused:
		return
	default:
		t.Fatalf("%v: %v", point, outcome)
	}
	if rapid.Bool().Draw(t, "again") && tr.add(point) != Duplicate {
		t.Fatalf("%v: counted twice", point)
	}
}

// swapped sends two points of a delta source in the wrong order.
func (tr *trial) swapped(t *rapid.T, s *source) {
	first := tr.next(t, s)
	if s.metric.Delta {
		second := tr.next(t, s)
		tr.report(t, s, second)
	}
	tr.report(t, s, first)
}

// begin lets a source begin anew.
func (tr *trial) begin(s *source) {
	tr.now += 1
	s.start, s.total, s.last = tr.now, in{}, nil
}

func (tr *trial) end(s *source) {
	tr.now += 1
	point := s.in
	point.end, point.time = true, tr.now
	tr.add(point)
}

// interval flushes. If the output arrives, all of it together is what is true; meanwhile other points may come in.
func (tr *trial) interval(t *rapid.T, arrives bool, s *source) {
	tr.now += 10
	tr.output = tr.state.Flush(epoch.Add(time.Duration(tr.now * 1e9)))
	want := maps.Clone(tr.true)
	tr.meanwhile(t, s)
	maps.Copy(tr.stored, tr.state.Dirty())
	tr.flushed, tr.knew = maps.Clone(tr.true), nil
	for _, s := range tr.sources {
		tr.knew = append(tr.knew, *s)
	}
	tr.meanwhile(t, s)
	if !arrives {
		return
	}
	tr.arrive(t)
	maps.Copy(tr.stored, tr.state.Sent())
	got := maps.Clone(tr.ended)
	for _, last := range tr.alive {
		got.add(last, 1)
	}
	for _, all := range []amounts{got, want} {
		for key := range all {
			assert.InDelta(t, want[key], got[key], 0, key)
		}
	}
	assert.LessOrEqual(t, tr.state.Stats().Series, tr.state.settings.MaxSeries)
}

func (tr *trial) meanwhile(t *rapid.T, s *source) {
	if rapid.IntRange(0, 2).Draw(t, "meanwhile") == 0 {
		tr.report(t, s, tr.next(t, s))
	}
}

// arrive is what a Prometheus makes of an output.
func (tr *trial) arrive(t *rapid.T) {
	for _, p := range tr.output.Points {
		if p.Family.Name == "tenants.affected" {
			continue
		}
		plan := ""
		for _, a := range p.Attributes {
			if a.Key == "plan" {
				plan = a.Value.Str
			}
		}
		id, says := labels(p), measure(p.Family.Name, plan, p.Number, p.Explicit, p.Exponential)
		if p.NoValue {
			tr.ended.add(tr.alive[id], 1)
			delete(tr.alive, id)
			continue
		}
		for key, amount := range tr.alive[id] {
			if says[key] < amount {
				t.Fatalf("%s: %s fell from %v to %v", id, key, amount, says[key])
			}
		}
		tr.alive[id] = says
	}
}

// kill leaves what was stored at the last flush to another State, which knows nothing of what came after it.
func (tr *trial) kill(budget int) {
	tr.true = maps.Clone(tr.flushed)
	for i, s := range tr.knew {
		start, total := tr.sources[i].start, tr.sources[i].total
		*tr.sources[i] = s
		if s.metric.Delta { // the process lives on, and so does its clock
			tr.sources[i].start = start
		} else if s.start == start {
			tr.sources[i].total = total
		}
	}
	tr.restart(func(s *Settings) { s.Budgets = map[string]int{"pro": budget, "free": 0} })
}

func TestWhatIsAcceptedIsWhatComesOut(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tr := newTrial(t, rapid.SampledFrom([]int{20, 40, 80, 1000}).Draw(rt, "max_series"))
		one := rapid.IntRange(0, len(tr.sources)-1)
		for range rapid.IntRange(1, 100).Draw(rt, "steps") {
			switch s := tr.sources[one.Draw(rt, "source")]; rapid.IntRange(0, 15).Draw(rt, "what") {
			case 0:
				tr.begin(s)
			case 1:
				tr.end(s)
			case 2, 3, 4:
				tr.interval(rt, true, s)
			case 5:
				tr.interval(rt, false, s)
			case 6:
				tr.kill(rapid.IntRange(0, 3).Draw(rt, "budget"))
			case 7:
				tr.now += 400
				tr.interval(rt, true, s)
			case 8:
				tr.swapped(rt, s)
			default:
				tr.report(rt, s, tr.next(rt, s))
			}
		}
		tr.interval(rt, true, tr.sources[0])
	})
}

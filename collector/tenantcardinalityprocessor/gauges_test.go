package tenantcardinalityprocessor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"pgregory.net/rapid"
)

// level is a metric that goes up and down; it folds by its highest value or by the sum.
type level struct {
	name   string
	upDown bool
	max    bool
}

var levels = []level{{"circuit_breaker.state", false, true}, {"tenant.cpu", false, false}, {"db.pool", true, false}}

func (l level) fold(a, b float64) float64 {
	if l.max {
		return math.Max(a, b)
	}
	return a + b
}

// levelGroup is what is left when tenants and processes are folded.
type levelGroup struct {
	level
	plan string
}

// folds is what groups have.
type folds map[levelGroup]float64

func (f folds) add(g levelGroup, value float64) {
	if before, has := f[g]; has {
		value = g.fold(before, value)
	}
	f[g] = value
}

// reading is the last value of a stream.
type reading struct {
	value float64
	at    time.Time
}

// levelStream is one of a process.
type levelStream struct{ process, tenant, level int }

// gaugeWorld is a few processes whose streams have a value or none, and what stands for them downstream.
type gaugeWorld struct {
	collector
	readings map[levelStream]reading
	alive    [3]bool
	shown    map[string]float64 // by series
	groups   map[string]levelGroup
}

// shownLevels is the world as a Prometheus, which shows the last value of each series until it ends.
type shownLevels gaugeWorld

// Capabilities tells that nothing is changed.
func (*shownLevels) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// ConsumeMetrics takes what is sent.
func (w *shownLevels) ConsumeMetrics(_ context.Context, metrics pmetric.Metrics) error {
	for _, l := range levels {
		for p := range numbers(metrics, l.name) {
			id := l.name + written(p.Attributes())
			plan, _ := p.Attributes().Get("plan")
			w.groups[id] = levelGroup{l, plan.Str()}
			if w.shown[id] = p.DoubleValue() + float64(p.IntValue()); p.Flags().NoRecordedValue() {
				delete(w.shown, id)
			}
		}
	}
	return nil
}

// truth folds the streams whose processes export, and those that have been silent for less than stale_after; it is not
// certain of what lies within an interval of that.
func (w *gaugeWorld) truth() (folded folds, certain bool) {
	folded, certain = folds{}, true
	for s, r := range w.readings {
		switch silent := time.Since(r.at); {
		case silent > w.config.StaleAfter+2*interval:
		case silent > w.config.StaleAfter-2*interval:
			certain = false
		default:
			folded.add(levelGroup{levels[s.level], plans[s.tenant%3]}, r.value)
		}
	}
	return folded, certain
}

func (w *gaugeWorld) look() {
	w.sending.Lock()
	defer w.sending.Unlock()
	want, certain := w.truth()
	if !certain {
		return
	}
	got := folds{}
	for id, value := range w.shown {
		got.add(w.groups[id], value)
	}
	if !maps.Equal(want, got) {
		w.check(fmt.Errorf("%v downstream, truly %v", got, want))
	}
}

// exported sends the values of a process; value decides what each stream says: a multiple of 3 says that there is none.
func (w *gaugeWorld) exported(process, value int) {
	time.Sleep(time.Millisecond)
	metrics := pmetric.NewMetrics()
	resource := metrics.ResourceMetrics().AppendEmpty()
	resource.Resource().Attributes().PutInt("process", int64(process))
	scope := resource.ScopeMetrics().AppendEmpty()
	for i, l := range levels {
		metric := scope.Metrics().AppendEmpty()
		metric.SetName(l.name)
		points := l.points(metric)
		for tenant := range 6 {
			value := (value*7 + tenant*5 + i + process) % 11
			s := levelStream{process, tenant, i}
			p := points.AppendEmpty()
			p.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
			p.Attributes().PutStr("project_id", fmt.Sprint("proj_", tenant))
			p.Attributes().PutStr("plan", plans[tenant%3])
			w.readings[s] = reading{float64(value), time.Now()}
			if p.SetIntValue(int64(value)); value%3 == 0 {
				p.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
				delete(w.readings, s)
			}
		}
	}
	w.check(w.consume(metrics))
}

func (l level) points(metric pmetric.Metric) pmetric.NumberDataPointSlice {
	if !l.upDown {
		return metric.SetEmptyGauge().DataPoints()
	}
	metric.SetEmptySum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	return metric.Sum().DataPoints()
}

// forgive counts silence from the start of a collector on: while there was none, nobody could be heard.
func (w *gaugeWorld) forgive() {
	for s, r := range w.readings {
		if time.Since(r.at) < w.config.StaleAfter {
			w.readings[s] = reading{r.value, time.Now()}
		}
	}
}

// TestLevelsAreFoldsOfWhatLives lets processes come, go and be silent, and collectors stop and be killed.
func TestLevelsAreFoldsOfWhatLives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 99), 10, 40).Draw(rt, "steps")
		directory := t.TempDir()
		var found error
		synctest.Test(t, func(*testing.T) {
			w := &gaugeWorld{readings: map[levelStream]reading{}, shown: map[string]float64{}, groups: map[string]levelGroup{}}
			w.config, w.directory, w.next = testConfig(), directory, (*shownLevels)(w)
			w.config.StaleAfter = 6 * interval
			w.up()
			for _, step := range steps {
				w.live(step)
			}
			w.down()
			found = errors.Join(w.errs...)
		})
		if found != nil {
			rt.Fatal(found)
		}
	})
}

// live lets a process live or be silent from now on, or the collector begin anew, then an interval pass.
func (w *gaugeWorld) live(step int) {
	_, certain := w.truth()
	switch {
	case step >= 95 && certain:
		w.copied()
		w.gone()
		w.forgive()
	case step >= 90 && certain:
		w.down()
		w.up()
		w.forgive()
	default:
		w.alive[step%3] = step%4 > 0
	}
	for process, alive := range w.alive {
		if alive {
			w.exported(process, step)
		}
	}
	time.Sleep(interval)
	synctest.Wait()
	w.look()
}

package tenantcardinalityprocessor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

const interval = 10 * time.Second

var plans = []string{"free", "starter", "pro", "enterprise", ""}

// world is a fleet, a collector with a real file_storage, and a Prometheus.
type world struct {
	config     *Config
	directory  string // of the storages, one after each kill
	storages   int
	host       host
	processor  processor.Metrics
	telemetry  *componenttest.Telemetry
	received   int // points, by this collector
	refused    int // points, by all of them
	downstream *downstream
	fleet      []*process
	tenants    []tenant
	arrived    []export // that a retry may bring again
	true       ledger
	flushed    ledger // as it was at the last flush
	compare    comparison
	errs       []error
}

// comparison tells what is wrong with what is downstream; refused is how many points were not counted.
type comparison func(want, got map[group]amounts, refused int) error

func testConfig() *Config {
	config := createDefaultConfig().(*Config)
	config.Interval, config.StaleAfter, config.StreamTimeout = interval, 3*interval, 24*time.Hour
	config.Budgets = map[string]int{"free": 0, "starter": 1, "pro": 2, "": 1}
	config.Rank.HalfLife, config.Rank.MinStay, config.Rank.Enter = time.Minute, interval, 1.2
	config.Rank.By = map[string]float64{"tenant.limit.hits": 1, "db.query.duration": 3}
	config.Storage = &storageID
	return config
}

func newWorld(config *Config, directory string, compare comparison) *world {
	w := &world{
		config: config, directory: directory, compare: compare,
		downstream: newDownstream(), true: ledger{}, flushed: ledger{},
	}
	for i := range 8 {
		w.tenants = append(w.tenants, tenant{fmt.Sprintf("proj_%d", i), plans[i%len(plans)], []string{"HOT", "WARM"}[i%2]})
	}
	w.up()
	for i := range 4 {
		p := &process{name: fmt.Sprintf("process-%d", i)}
		p.begin(time.Now(), i%2 == 0, i)
		w.fleet = append(w.fleet, p)
	}
	return w
}

func (w *world) check(err error) {
	if err != nil {
		w.errs = append(w.errs, err)
	}
}

func (w *world) path() string { return filepath.Join(w.directory, fmt.Sprint(w.storages)) }

// up starts a collector on the present storage, between two ticks of everything else.
func (w *world) up() {
	w.check(os.MkdirAll(w.path(), 0o700))
	w.host, w.telemetry, w.received = fileStorage(w, w.path()), componenttest.NewTelemetry(), 0
	set := processortest.NewNopSettings(componentType)
	set.TelemetrySettings = w.telemetry.NewTelemetrySettings()
	made, err := NewFactory().CreateMetrics(context.Background(), set, w.config, w.downstream)
	w.check(err)
	w.processor = made
	w.check(w.processor.Start(context.Background(), w.host))
	time.Sleep(100 * time.Millisecond)
}

// down stops the collector; it flushes for the last time. What became of every point it got is known.
func (w *world) down() {
	outcomes := w.outcomes()
	sum := 0
	for _, points := range outcomes {
		sum += points
	}
	if sum != w.received {
		w.check(fmt.Errorf("%d points were received, the outcomes are %v", w.received, outcomes))
	}
	w.refused += outcomes["refused"]
	w.check(w.telemetry.Shutdown(context.Background()))
	w.telemetry = nil
	w.check(w.processor.Shutdown(context.Background()))
	for _, extension := range w.host {
		w.check(extension.Shutdown(context.Background()))
	}
}

// outcomes says what became of the points of this collector; none is up, none has got any.
func (w *world) outcomes() map[string]int {
	found := map[string]int{}
	if w.telemetry == nil {
		return found
	}
	points, err := w.telemetry.GetMetric(metricPrefix + "points")
	w.check(err)
	for _, point := range points.Data.(metricdata.Sum[int64]).DataPoints {
		outcome, _ := point.Attributes.Value("outcome")
		found[outcome.AsString()] = int(point.Value)
	}
	return found
}

// Errorf and FailNow let require speak.
func (w *world) Errorf(format string, arguments ...any) { w.check(fmt.Errorf(format, arguments...)) }
func (*world) FailNow()                                 { panic("cannot go on") }

var errRefused = errors.New("refused")

// copied leaves the storage as it is at this moment to the next collector.
func (w *world) copied() {
	before := w.path()
	w.storages++
	w.check(os.CopyFS(w.path(), os.DirFS(before)))
}

// gone lets nobody see what a killed collector still does.
func (w *world) gone() {
	w.downstream.refuse, w.downstream.taken = func() error { return errRefused }, nil
	w.down()
	w.downstream.refuse = nil
	w.up()
}

// killed leaves to the next collector what was stored at the last flush.
func (w *world) killed() {
	w.copied()
	w.true, w.arrived = maps.Clone(w.flushed), nil
	w.gone()
}

// killedInFlush kills at the moment of a hook of the downstream's; everything that arrived is stored then.
func (w *world) killedInFlush(hook *func() error) {
	killed := false
	*hook = func() error {
		if !killed {
			w.copied()
		}
		killed = true
		return errRefused
	}
	time.Sleep(interval)
	synctest.Wait()
	if !killed { // there was nothing to send
		w.copied()
	}
	w.flushed = maps.Clone(w.true)
	w.gone()
}

// lostFlush lets an interval pass whose flush is lost; the next one makes up for it.
func (w *world) lostFlush() {
	w.downstream.refuse = func() error { return errRefused }
	time.Sleep(interval)
	synctest.Wait()
	w.downstream.refuse = nil
	w.flushed = maps.Clone(w.true)
}

func (w *world) stopped() {
	time.Sleep(10 * time.Millisecond)
	w.down()
	w.look()
	w.flushed = maps.Clone(w.true)
	w.up()
}

// tick lets an interval pass, in which the collector flushes once.
func (w *world) tick() {
	time.Sleep(interval)
	synctest.Wait()
	w.flushed = maps.Clone(w.true)
	w.look()
}

// look checks what is downstream right after a flush.
func (w *world) look() {
	w.downstream.flushed(w.config)
	w.errs = append(w.errs, w.downstream.faults...)
	w.downstream.faults = nil
	w.check(w.compare(w.true.totals(), w.downstream.totals(), w.refused+w.outcomes()["refused"]))
}

// exact wants every total to be the truth.
func exact(want, got map[group]amounts, _ int) error {
	var errs []error
	for _, groups := range []map[group]amounts{want, got} {
		for g := range groups {
			if want, got := comparable(g, want[g]), got[g]; !equal(want, got) {
				errs = append(errs, fmt.Errorf("%v: %v downstream, truly %v", g, got, want))
			}
		}
	}
	return errors.Join(errs...)
}

// withinLimits wants totals without outcomes to be the truth, or less if points were refused.
func withinLimits(want, got map[group]amounts, refused int) error {
	want, got = withoutOutcome(want), withoutOutcome(got)
	if refused == 0 {
		return exact(want, got, 0)
	}
	var errs []error
	for g, got := range got {
		if want := comparable(g, want[g]); !equal(want, got) && !(got[0] < want[0]) {
			errs = append(errs, fmt.Errorf("%v: %v downstream, truly %v", g, got, want))
		}
	}
	return errors.Join(errs...)
}

func withoutOutcome(totals map[group]amounts) map[group]amounts {
	summed := map[group]amounts{}
	for g, counted := range totals {
		g.status = ""
		total := summed[g]
		total.add(counted)
		summed[g] = total
	}
	return summed
}

// comparable brings the fine buckets of exponential histograms to the scale that the downstream has.
func comparable(g group, counted amounts) amounts {
	if g.metric != "db.latency" || counted == nil {
		return counted
	}
	return append(slices.Clone(counted[:3]), atScale(counted[3:], fineScale)...)
}

// equal compares amounts; what was never counted equals zeros.
func equal(a, b amounts) bool {
	if a == nil || b == nil {
		return a.zero() && b.zero()
	}
	return slices.Equal(a, b)
}

func (w *world) deliver(e export) {
	metrics := pmetric.NewMetrics()
	e.metrics.CopyTo(metrics)
	w.check(w.processor.ConsumeMetrics(context.Background(), metrics))
	w.received += metrics.DataPointCount()
	w.true.arrived(e)
	w.arrived = append(w.arrived, e)
}

func (w *world) export(p *process) export {
	time.Sleep(5 * time.Millisecond)
	return p.export(time.Now())
}

// work counts for several tenants, metrics and outcomes.

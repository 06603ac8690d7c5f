package tenantcardinalityprocessor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing/synctest"
	"time"
)

var plans = []string{"free", "starter", "pro", "enterprise", ""}

// world is a fleet, a collector, and a Prometheus.
type world struct {
	collector
	downstream *downstream
	fleet      []*process
	tenants    []tenant
	arrived    []export // that a retry may bring again
	true       ledger
	flushed    ledger // as it was at the last flush
	doubtful   bool   // whether the last flush arrived: it may be told again
	compare    comparison
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
	w := &world{downstream: newDownstream(), true: ledger{}, flushed: ledger{}, compare: compare}
	w.config, w.directory, w.next = config, directory, w.downstream
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

// killed leaves to the next collector what was stored at the last flush.
func (w *world) killed() {
	w.copied()
	w.true, w.arrived = maps.Clone(w.flushed), nil
	w.gone()
}

// killedInFlush kills when something is sent, or has just arrived; all that came in is stored by then.
func (w *world) killedInFlush(arrives bool) {
	killed := false
	kill := func() error {
		if !killed {
			w.copied()
		}
		killed = true
		return errRefused
	}
	if arrives {
		w.hook(nil, kill)
	} else {
		w.hook(kill, nil)
	}
	time.Sleep(interval)
	synctest.Wait()
	if !killed { // there was nothing to send
		w.copied()
	}
	w.flushed, w.doubtful = maps.Clone(w.true), true
	w.gone()
}

// lostFlush lets an interval pass whose flush is lost; the next one makes up for it.
func (w *world) lostFlush() {
	w.hook(func() error { return errRefused }, nil)
	time.Sleep(interval)
	synctest.Wait()
	w.hook(nil, nil)
	w.flushed, w.doubtful = maps.Clone(w.true), true
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
	w.sending.Lock()
	defer w.sending.Unlock()
	w.downstream.flushed(w.config)
	w.errs = append(w.errs, w.downstream.faults...)
	w.downstream.faults = nil
	if w.downstream.again > 0 && !w.doubtful {
		w.check(fmt.Errorf("%d samples were sent again", w.downstream.again))
	}
	w.downstream.again, w.doubtful = 0, false
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

// comparable brings amounts to what the downstream has of them: coarser buckets, or none.
func comparable(g group, counted amounts) amounts {
	switch {
	case counted == nil:
		return nil
	case g.metric == "db.latency":
		return append(slices.Clone(counted[:3]), atScale(counted[3:], fineScale)...)
	case g.metric == "db.wait":
		return counted[:2]
	}
	return counted
}

// equal compares amounts; what was never counted equals zeros.
func equal(a, b amounts) bool {
	if a == nil || b == nil {
		return a.zero() && b.zero()
	}
	return slices.Equal(a, b)
}

func (w *world) deliver(e export) {
	w.check(w.consume(e.metrics))
	w.true.arrived(e)
	w.arrived = append(w.arrived, e)
}

func (w *world) export(p *process) export {
	time.Sleep(5 * time.Millisecond)
	return p.export(time.Now())
}

// work counts for several tenants, metrics and outcomes.

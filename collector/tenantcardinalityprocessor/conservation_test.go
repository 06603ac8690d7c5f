package tenantcardinalityprocessor

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// action is what happens in a step of a history.
type action int

const (
	nothing    action = iota // what the others shrink to
	work                     // a process counts
	send                     // a process exports
	swap                     // two exports of a process arrive in the wrong order
	lose                     // an export never arrives
	repeat                   // an export arrives again
	restart                  // a process begins anew, perhaps with the other temporality
	upgrade                  // a tenant gets another plan
	flush                    // an interval passes
	silence                  // several pass, then all export
	stop                     // the collector stops, as it should, and starts
	refuse                   // a flush is not taken by who is next
	kill                     // the collector is killed at this moment, and starts
	killUnsent               // it is killed in a flush: what is stored was not sent
	killSent                 // it is killed in a flush: it does not know that what is stored was sent
)

// step is an action, and numbers that say who and what as far as the action asks.
type step struct {
	action      action
	who, tenant int
	measure     int
	amount      int
}

var frequency = []action{
	nothing, work, work, work, work, work, work, send, send, send, send, send, send, flush, flush, flush, flush,
	swap, swap, lose, repeat, repeat, repeat, restart, restart, upgrade, silence, stop, refuse, kill, killUnsent, killSent,
}

func drawHistory(t *rapid.T) []step {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			action:  rapid.SampledFrom(frequency).Draw(t, "action"),
			who:     rapid.IntRange(0, 3).Draw(t, "who"),
			tenant:  rapid.IntRange(0, 7).Draw(t, "tenant"),
			measure: rapid.IntRange(0, len(measures)-1).Draw(t, "measure"),
			amount:  rapid.IntRange(0, 9).Draw(t, "amount"),
		}
	}), 40, 80).Draw(t, "history")
}

func (w *world) work(s step) {
	for i := range 1 + s.amount {
		who, measure := w.tenants[(s.tenant+i)%len(w.tenants)], (s.measure+i/2)%len(measures)
		w.fleet[s.who].work(streamKey{who, measure, []string{"ok", "error"}[s.amount%2]}, 1+s.amount)
	}
}

// swapped sends two exports of a process in the wrong order: nothing may get lost, and nothing counted twice.
func (w *world) swapped(s step) {
	first := w.export(w.fleet[s.who])
	w.work(s)
	second := w.export(w.fleet[s.who])
	w.deliver(second)
	w.deliver(first)
}

// repeated sends an export again: of the present incarnation, or of one that cumulative points say is over.
func (w *world) repeated(s step) {
	var candidates []export
	for _, e := range w.arrived {
		for _, p := range w.fleet {
			if e.process == p.name && e.delta == p.delta && (!p.delta || e.incarnation == p.incarnation) {
				candidates = append(candidates, e)
			}
		}
	}
	if len(candidates) > 0 {
		w.deliver(candidates[(s.tenant+8*s.amount)%len(candidates)])
	}
}

func (w *world) silence() {
	for range 5 {
		w.tick()
	}
	for _, p := range w.fleet {
		w.deliver(w.export(p))
	}
}

func (w *world) restarted(s step) {
	time.Sleep(5 * time.Millisecond)
	p := w.fleet[s.who]
	p.begin(time.Now(), p.delta != (s.amount%3 == 0), p.scale)
	time.Sleep(5 * time.Millisecond)
}

func (w *world) do(s step) {
	switch s.action {
	case nothing:
	case work:
		w.work(s)
	case send:
		w.deliver(w.export(w.fleet[s.who]))
	case swap:
		w.swapped(s)
	case lose:
		w.export(w.fleet[s.who])
	case repeat:
		w.repeated(s)
	case restart:
		w.restarted(s)
	case upgrade:
		w.tenants[s.tenant].plan = plans[s.amount%len(plans)]
	case flush:
		w.tick()
	case silence:
		w.silence()
	case stop:
		w.stopped()
	case refuse:
		w.lostFlush()
	case kill:
		w.killed()
	case killUnsent:
		w.killedInFlush(false)
	case killSent:
		w.killedInFlush(true)
	}
}

// live lets a history happen in a bubble of time of its own, and returns everything that was wrong.
func live(t *testing.T, config *Config, history []step, compare comparison) (found error) {
	directory := t.TempDir()
	synctest.Test(t, func(*testing.T) {
		w := newWorld(config, directory, compare)
		for i, s := range history {
			w.do(s)
			if len(w.errs) > 0 {
				w.check(fmt.Errorf("after step %d of %d: %+v", i, len(history), s))
				break
			}
		}
		w.tick()
		w.down()
		found = errors.Join(w.errs...)
	})
	return found
}

func TestNothingIsLostAndNothingCountedTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		if err := live(t, testConfig(), drawHistory(rt), exact); err != nil {
			rt.Fatal(err)
		}
	})
}

// TestNoLimitIsExceeded compares per plan and tier only: that is what is kept of whatever does not fit. Even that may be
// refused when the bound is reached, and is counted.
func TestNoLimitIsExceeded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		config := testConfig()
		config.MaxSeries = rapid.IntRange(10, 200).Draw(rt, "max_series")
		if err := live(t, config, drawHistory(rt), withinLimits); err != nil {
			rt.Fatal(err)
		}
	})
}

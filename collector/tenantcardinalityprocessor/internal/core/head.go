package core

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/heavy"
)

// fingerprint is what a stored State and this one must have in common.
func (s *Settings) fingerprint() string {
	return strings.Join([]string{
		s.Tenant, s.Plan, s.Tier, s.Other, strings.Join(s.AlsoFolded, ","), strings.Join(s.Keep, ","), fmt.Sprint(s.Self),
	}, ";")
}

func (s *State) encodeHead() []byte {
	e := &encoder{}
	e.uint(formatVersion)
	e.str(s.settings.fingerprint())
	e.int(s.since)
	e.int(s.previous)
	e.uint(uint64(len(s.plans)))
	for _, plan := range s.plans {
		e.str(plan.name)
		e.weights(plan.weights, s.batch.now)
	}
	e.uint(uint64(len(s.tiers)))
	each(s.tiers, e.str)
	e.uint(uint64(len(s.affected)))
	for _, watch := range s.affected {
		e.watch(watch)
	}
	e.uint(uint64(s.flushed))
	e.uint(uint64(len(s.ended)))
	for i := range s.ended {
		e.ending(&s.ended[i])
	}
	return e.data
}

var (
	errVersion  = fmt.Errorf("another format: this one is version %d", formatVersion)
	errSettings = errors.New("it was kept under other settings of tenant, plan, tier, other, also_folded, keep or replica")
)

// tooOld is what Prometheus refuses: older than half of the two hours that its newest block covers.
const tooOld = time.Hour

func (s *State) decodeHead(data []byte, now time.Time) error {
	d := &decoder{data: data}
	if d.uint() != formatVersion {
		return errVersion
	}
	if d.str() != s.settings.fingerprint() {
		return errSettings
	}
	s.since = d.int()
	s.stored = d.int()
	s.previous = max(s.stored, now.Add(-tooOld).UnixNano()) // new series begin after what was sent
	s.plans, s.tiers = nil, nil
	for range d.length() {
		number := s.addPlan(d.str())
		d.weights(s.plans[number].weights, now)
	}
	for range d.length() {
		tier := d.str()
		s.tierNumbers[tier] = uint16(len(s.tiers))
		s.tiers = append(s.tiers, tier)
	}
	for range d.length() {
		d.watch(s.affected)
	}
	flushed := d.uint()
	s.ended = list(d, d.ending)
	s.flushed = int(min(flushed, uint64(len(s.ended))))
	if len(s.plans) == 0 || len(s.tiers) == 0 {
		d.fail()
	}
	return d.err
}

// weights writes a summary; of none, an empty one.
func (e *encoder) weights(weights *heavy.Summary[Identity], now time.Time) {
	if weights == nil {
		weights = heavy.New[Identity](1, time.Second)
	}
	e.float(weights.Total(now))
	e.uint(uint64(weights.Len()))
	for entry := range weights.All(now) {
		e.id(entry.Key)
		e.float(entry.High)
		e.float(entry.Error)
	}
}

func (d *decoder) weights(weights *heavy.Summary[Identity], now time.Time) {
	total := d.float()
	entries := list(d, func() heavy.Entry[Identity] {
		return heavy.Entry[Identity]{Key: d.id(), High: d.float(), Error: d.float()}
	})
	if weights != nil && d.err == nil {
		weights.Restore(entries, total, now)
	}
}

func (e *encoder) watch(w *watch) {
	e.str(w.metric)
	e.uint(uint64(len(w.plans)))
	for _, counter := range w.plans {
		var data []byte
		if counter != nil {
			data, _ = counter.AppendBinary(nil) // a sketch that cannot be written counts anew
		}
		e.bytes(data)
	}
}

func (d *decoder) watch(known map[string]*watch) {
	w := known[d.str()]
	for plan := range d.length() {
		data := d.bytes()
		if w == nil || len(data) == 0 { // it is not watched any more
			continue
		}
		if err := w.counter(plan).UnmarshalBinary(data); err != nil {
			d.fail()
		}
	}
}

func (e *encoder) ending(end *ending) {
	encodeFamily(e, &end.point.Family)
	e.attributes(end.point.Attributes)
	e.int(end.point.Start)
	e.int(end.final)
	e.int(end.point.Time)
	e.bool(end.sent)
	e.value(end.point.Number, end.point.Explicit, end.point.Exponential)
}

// ending reads the end of a series. It may have been sent: what is sent again is the same, times included.
func (d *decoder) ending() (end ending) {
	end.point.Family = d.family()
	end.point.Attributes = d.attributes()
	end.point.Start = d.int()
	end.final, end.point.Time, end.sent = d.int(), d.int(), d.bool()
	end.point.Number, end.point.Explicit, end.point.Exponential = d.value(end.point.Family)
	return end
}

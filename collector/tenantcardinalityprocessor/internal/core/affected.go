package core

import (
	"time"

	"github.com/otel-dynabase/otel-dynabase/collector/tenantcardinalityprocessor/internal/affected"
)

// watch counts the tenants behind one metric, by plan.
type watch struct {
	metric string
	window time.Duration
	plans  []*affected.Counter // nil: none yet
}

func watches(settings Settings) map[string]*watch {
	all := make(map[string]*watch, len(settings.Affected))
	for _, metric := range settings.Affected {
		all[metric] = &watch{metric: metric, window: settings.AffectedWindow}
	}
	return all
}

func affectedFamily(settings Settings) *Family {
	return &Family{
		Kept: settings.Self, Group: identityOf(settings.Self), Scope: "otel_dynabase",
		Name: "tenants.affected", Unit: "{tenant}", Description: "Tenants whose metric increased within the window",
		Kind: KindGauge,
	}
}

// partOf returns when the part of a window began that a second lies in. Of parts that are not whole seconds, each second
// is as good as one.
func partOf(second uint32, window time.Duration) uint32 {
	part := uint32(window / affected.Parts / time.Second)
	return second - second%max(part, 1)
}

func (w *watch) add(plan int, hash uint64, now time.Time) {
	w.counter(plan).Add(hash, now)
}

func (w *watch) counter(plan int) *affected.Counter {
	for plan >= len(w.plans) {
		w.plans = append(w.plans, nil)
	}
	if w.plans[plan] == nil {
		w.plans[plan] = affected.New(w.window)
	}
	return w.plans[plan]
}

// emitAffected tells for each plan and metric how many tenants there were, 0 included: the series are always there.
func (s *State) emitAffected(now time.Time, at int64) {
	for _, metric := range s.settings.Affected {
		w := s.affected[metric]
		for number, plan := range s.plans {
			if number == 0 && plan.tenants == 0 {
				continue
			}
			count := int64(0)
			if number < len(w.plans) && w.plans[number] != nil {
				count = int64(w.plans[number].Count(now))
			}
			s.output.Points = append(s.output.Points, OutputPoint{
				Family: s.affectedFamily, Time: at, Number: IntNumber(count),
				Attributes: []Attribute{{s.settings.Plan, String(plan.name)}, {"metric", String(metric)}},
			})
		}
	}
}

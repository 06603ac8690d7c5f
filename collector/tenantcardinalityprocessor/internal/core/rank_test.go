package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestAChallengerMustOutweighByFarAndTheOtherHaveStayed(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.HalfLife = 1e6 * time.Hour })
	l.add(hit("a", "pro", 1, 100), hit("b", "pro", 1, 10), hit("c", "pro", 1, 14))
	assert.Equal(t, []string{"hits{pro,_other} 14", "hits{pro,a} 100", "hits{pro,b} 10"}, l.flush(10))
	assert.Empty(t, l.output.Changes)

	l.add(hit("a", "pro", 11, 1), hit("b", "pro", 11, 1), hit("c", "pro", 11, 100)) // 11 and 114, but b is new
	l.flush(200)
	assert.Empty(t, l.output.Changes)

	l.add(hit("a", "pro", 211, 1), hit("b", "pro", 211, 1), hit("c", "pro", 211, 1))
	l.flush(290)
	assert.Empty(t, l.output.Changes)
	l.add(hit("a", "pro", 501, 1), hit("b", "pro", 501, 1), hit("c", "pro", 501, 1))
	assert.Equal(t, []string{"hits{pro,_other} 116", "hits{pro,a} 103", "hits{pro,b} ends"}, l.flush(110))
	assert.Equal(t, []Change{
		{Tenant: "b", Plan: "pro", Tier: "HOT", Reason: Outweighed, Weight: 13, Counterpart: "c"},
		{Tenant: "c", Plan: "pro", Tier: "HOT", Named: true, Reason: Outweighed, Weight: 116, Counterpart: "b"},
	}, round(l.output.Changes))

	l.add(hit("a", "pro", 620, 1), hit("b", "pro", 620, 2), hit("c", "pro", 620, 4))
	assert.Equal(t, []string{"hits{pro,_other} 118", "hits{pro,a} 104", "hits{pro,c} 4"}, l.flush(10), "c begins anew at 0")
	stats := l.state.Stats()
	assert.Equal(t, []uint64{1, 1}, []uint64{stats.Promotions, stats.Demotions})
}

// round leaves out what decay takes.
func round(changes []Change) []Change {
	for i := range changes {
		changes[i].Weight = float64(int(changes[i].Weight + 0.5))
	}
	return changes
}

func TestTheLastValueOfWhatEndsIsSent(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.MinStay = 0 })
	l.add(hit("a", "pro", 1, 1), hit("b", "pro", 1, 100))
	l.flush(10)
	l.add(hit("a", "pro", 11, 2), hit("c", "pro", 11, 100))
	l.flush(10)
	assert.Equal(t, []string{"hits{pro,a} 3"}, l.lines(func(p OutputPoint) bool {
		return p.Time == l.output.Time-tick
	}))
}

func TestASilentTenantGivesItsPlaceToWhoWantsIt(t *testing.T) {
	l := newLab(t)
	l.add(hit("a", "pro", 1, 1000), hit("b", "pro", 1, 1))
	l.flush(10)
	l.add(hit("b", "pro", 11, 1))
	l.flush(400)
	assert.Empty(t, l.output.Changes, "nobody wants it")
	l.add(hit("c", "pro", 411, 1))
	l.flush(10)
	assert.Equal(t, []Change{
		{Tenant: "b", Plan: "pro", Tier: "HOT", Reason: Silent, Weight: 2, Counterpart: "c"},
		{Tenant: "c", Plan: "pro", Tier: "HOT", Named: true, Reason: Silent, Weight: 1, Counterpart: "b"},
	}, round(l.output.Changes))
	l.flush(10)
	assert.Empty(t, l.output.Changes, "b is silent too")
	l.add(hit("b", "pro", 431, 1))
	l.flush(10)
	assert.Equal(t, []string{"a", "b"}, []string{l.output.Changes[0].Tenant, l.output.Changes[1].Tenant})
}

func TestWithoutWeightsTheRoomOfASilentTenantIsForWhoComesFirst(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.Weights, s.Budgets = nil, map[string]int{"pro": 1} })
	l.add(hit("a", "pro", 1, 1), hit("b", "pro", 1, 1))
	l.flush(10)
	l.add(hit("b", "pro", 11, 2))
	l.flush(400)
	assert.Equal(t, []Change{{Tenant: "a", Plan: "pro", Tier: "HOT", Reason: Silent}}, l.output.Changes)
	l.add(hit("b", "pro", 411, 4))
	assert.Equal(t, []string{"hits{pro,b} 4"}, l.flush(10))
}

func TestRoomIsForTheHeaviest(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.Budgets = map[string]int{"pro": 1} })
	l.add(hit("a", "pro", 1, 1000), hit("b", "pro", 1, 1), hit("c", "pro", 1, 2))
	l.flush(10)
	l.restart(func(s *Settings) { s.Budgets = map[string]int{"pro": 2} })
	l.flush(10)
	assert.Equal(t, []Change{{Tenant: "c", Plan: "pro", Tier: "HOT", Named: true, Reason: Room, Weight: 2}}, round(l.output.Changes))
	l.restart(func(s *Settings) { s.Budgets = map[string]int{"pro": 1} })
	l.flush(10)
	assert.Equal(t, []Change{{Tenant: "c", Plan: "pro", Tier: "HOT", Reason: Budget, Weight: 2}}, round(l.output.Changes))
}

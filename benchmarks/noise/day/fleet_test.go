package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// small returns a fleet of 30 pro tenants who never leave, ten of them under their own names.
func small(t *testing.T, troubles ...Trouble) *fleet {
	t.Helper()
	metrics := map[string]Metric{affected: {
		Name: affected, Kind: "gauge", Labels: []Label{{Name: "plan"}, {Name: "metric", Values: []string{failures, limitHits}}},
	}}
	for name, free := range map[string]int{
		queries: 1, durations: 1, failures: 1, limitHits: 2, rejections: 1, breakerState: 0, breakerOpened: 0,
		ceilingHits: 1, cacheHits: 1,
	} {
		metrics[name] = Metric{Name: name, Kind: "counter", Labels: tenantLabels([]Label{{Name: "first"}, {Name: "second"}}[:free]...)}
	}
	metrics[durations] = Metric{
		Name: durations, Kind: "histogram", Labels: tenantLabels(Label{Name: "operation"}), Buckets: []float64{0.01, 0.1},
		Applications: true,
	}
	in := &Input{Metrics: metrics, Budgets: map[string]int{"pro": 10}, Day: Day{
		Export: 10, Night: 1, Spread: 0.5, Regions: []Region{{Share: 1}}, Incidents: troubles,
		Plans: map[string]Plan{"pro": {
			Tenants: 30, Tier: "HOT", Statements: 5, Latency: Spread{0.005, 0.05}, SQLErrors: 0.01, Failing: 0.01,
			Queued: 0.01, Rejected: 0.01, Noisy: Noisy{Tenants: 1, HitsPerMinute: 60},
		}},
	}}
	f, err := newFleet(in, newBook(metrics), newChance(1))
	require.NoError(t, err)
	return f
}

// totals adds up a metric by the value of its first further label.
func totals(f *fleet, metric string) map[string]float64 {
	by := map[string]float64{}
	for k, s := range f.book.series {
		if k.metric == metric {
			by[k.first] += s.value
		}
	}
	return by
}

func TestStatementsAreCountedOnceHoweverTheyEnd(t *testing.T) {
	f := small(t)
	for second := 0.0; second < 600; second += 10 {
		f.step(second)
	}
	ended, failed := totals(f, queries), totals(f, failures)
	assert.InDelta(t, totals(f, durations)["SELECT"], ended["ok"]+ended["error"], 1e-6)
	assert.InDelta(t, ended["error"], failed["syntax_error_or_access_rule_violation"]+failed["connection_exception"]+
		failed["operator_intervention"], 1e-6)
	expected := 0.0
	for _, tenant := range f.tenants["pro"] {
		expected += tenant.size * 5 * 600
	}
	assert.InEpsilon(t, expected, ended["ok"]+ended["error"], 0.03)
	assert.Len(t, f.born, 11, "ten tenants and the others")
}

func TestWhoseDatabaseIsAwayIsRefusedByItsBreaker(t *testing.T) {
	f := small(t, Trouble{Name: "away", At: "00:01", Lasts: 60, Plans: []string{"pro"}, Away: 1})
	for second := 0.0; second < 60; second += 10 {
		f.step(second)
	}
	before := totals(f, queries)["ok"]
	for second := 60.0; second < 120; second += 10 {
		f.step(second)
	}
	assert.Equal(t, before, totals(f, queries)["ok"])
	assert.Equal(t, 30.0, totals(f, breakerOpened)[""])
	refused, tried := totals(f, rejections)["circuit_open"], totals(f, failures)["connection"]
	assert.Greater(t, refused, 10*tried)
	assert.Positive(t, tried)
	f.step(120)
	assert.Greater(t, totals(f, queries)["ok"], before)
	assert.Zero(t, totals(f, breakerState)[""])
}

func TestTheCollectorRepeatsWhoIsSilentAndCatchesUp(t *testing.T) {
	f := small(t, Trouble{Name: "silent", At: "00:01", Lasts: 60, Plans: []string{"pro"}, Silent: true})
	p, err := startWith(t, "testdata/rules.yml", time.Now(), nil)
	require.NoError(t, err)
	sent := map[float64]float64{}
	for second := 0.0; second < 150; second += 10 {
		f.step(second)
		appender := p.db.AppenderV2(context.Background())
		require.NoError(t, f.book.export(appender, int64(second*1000)+1))
		require.NoError(t, appender.Commit())
		for _, s := range f.book.ordered {
			if s.metric == durations {
				sent[second] += s.points[0].last
			}
		}
	}
	assert.Greater(t, sent[50], sent[40])
	assert.Equal(t, sent[50], sent[110], "a minute of silence")
	assert.InEpsilon(t, 8*(sent[50]-sent[40]), sent[120]-sent[110], 0.2, "and all of it at once")
}

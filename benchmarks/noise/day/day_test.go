package main

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/notifier"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func tenantLabels(further ...Label) []Label {
	return append([]Label{{Name: "project_id"}, {Name: "tier", Values: []string{"WARM", "HOT"}}, {Name: "plan"}}, further...)
}

func TestABucketHasAllThatTookNoLonger(t *testing.T) {
	b := newBook(map[string]Metric{
		"took": {Name: "took_seconds", Kind: "histogram", Labels: tenantLabels(), Buckets: []float64{0.1, 1}},
	})
	k := key{metric: "took", project: "p", tier: "WARM", plan: "pro"}
	b.observe(k, []float64{5, 2, 1}, 4.5)
	b.observeOne(k, 0.1) // bounds are inclusive
	read := map[string]float64{}
	for _, p := range b.of(k).points {
		read[p.labels.Get(labels.MetricName)+p.labels.Get("le")] = p.read(b.of(k))
	}
	assert.Equal(t, map[string]float64{
		"took_seconds_bucket0.1": 6, "took_seconds_bucket1": 8, "took_seconds_bucket+Inf": 9,
		"took_seconds_count": 9, "took_seconds_sum": 4.6,
	}, read)
}

func TestASeriesThatTheCatalogueCannotHaveIsRefused(t *testing.T) {
	b := newBook(map[string]Metric{
		"hits": {Name: "hits_total", Kind: "counter", Labels: tenantLabels(Label{Name: "action", Values: []string{"queued"}})},
	})
	b.add(key{metric: "hits", project: "p", tier: "WARM", plan: "pro", first: "queued"}, 1)
	for name, k := range map[string]key{
		"another metric":    {metric: "hit", project: "p", tier: "WARM", plan: "pro", first: "queued"},
		"another value":     {metric: "hits", project: "p", tier: "WARM", plan: "pro", first: "dropped"},
		"a missing label":   {metric: "hits", project: "p", tier: "WARM", first: "queued"},
		"one label too few": {metric: "hits", project: "p", tier: "WARM", plan: "pro"},
	} {
		assert.Panics(t, func() { b.add(k, 1) }, name)
	}
}

func TestSeriesAreBornWhereTheCatalogueSaysSo(t *testing.T) {
	b := newBook(map[string]Metric{
		"starts": {
			Name: "starts_total", Kind: "counter", BornFor: []string{"enterprise"},
			Labels: []Label{{Name: "project_id"}, {Name: "plan"}, {Name: "source_tier", Values: []string{"COLD", "WARM"}}},
		},
	})
	b.born("p", "HOT", "pro")
	assert.Empty(t, b.series)
	b.born("p", "PERSISTENT", "enterprise")
	assert.Len(t, b.series, 2)
	k := key{metric: "starts", project: "p", plan: "enterprise", first: "COLD"}
	assert.Contains(t, b.series, k)
	assert.Zero(t, b.series[k].value)
}

func TestLatencyHasItsMedianAndItsP95(t *testing.T) {
	latency := Spread{Median: 0.01, P95: 0.04}
	assert.InDelta(t, 0.5, latency.within(0.01, 1), 1e-9)
	assert.InDelta(t, 0.95, latency.within(0.04, 1), 1e-9)
	assert.InDelta(t, 0.95, latency.within(0.08, 2), 1e-9)
	buckets, mean := latency.shares([]float64{0.01, 0.04}, 1)
	assert.InDeltaSlice(t, []float64{0.5, 0.45, 0.05}, buckets, 1e-9)
	sigma := math.Log(4) / z95
	assert.InDelta(t, 0.01*math.Exp(sigma*sigma/2), mean, 1e-9)
}

func TestTheSameSeedGivesTheSameDay(t *testing.T) {
	draw := func(seed uint64) (drawn []float64) {
		c := newChance(seed)
		for range 100 {
			drawn = append(drawn, c.events(3), c.after(5), c.size(1))
		}
		return drawn
	}
	assert.Equal(t, draw(6), draw(6))
	assert.NotEqual(t, draw(6), draw(7))
}

func TestTrafficIsHighestAtTwoInTheAfternoon(t *testing.T) {
	d := Day{Night: 0.2, Regions: []Region{{UTC: -6}, {UTC: 1}}}
	assert.InDelta(t, 1, d.traffic(0, 20*3600), 1e-9)
	assert.InDelta(t, 1, d.traffic(1, 13*3600), 1e-9)
	assert.InDelta(t, 0.2, d.traffic(1, 1*3600), 1e-9)
	total := 0.0
	for minute := range 1440 {
		total += d.traffic(0, float64(minute)*60)
	}
	assert.InDelta(t, d.meanTraffic(), total/1440, 1e-6)
}

func TestTroublesAddUpWhileTheyLast(t *testing.T) {
	d := Day{
		Ordinary:  []Trouble{{At: "10:00", Lasts: 60, Plans: []string{"pro", "free"}, Stretch: 2, Failing: 0.1}},
		Incidents: []Trouble{{At: "10:00", Lasts: 120, Plans: []string{"pro"}, Stretch: 3, Away: 1, Silent: true}},
	}
	happening, err := d.occurrences(newChance(1))
	require.NoError(t, err)
	at := func(plan string, second float64) condition { return conditionOf(plan, 36_000+second, happening) }
	usual := condition{stretch: 1, queued: 1, starts: 1}
	assert.Equal(t, usual, at("pro", -1))
	assert.Equal(t, condition{stretch: 6, queued: 1, starts: 1, failing: 0.1, away: 1, silent: true}, at("pro", 0))
	assert.Equal(t, condition{stretch: 2, queued: 1, starts: 1, failing: 0.1}, at("free", 59))
	assert.Equal(t, condition{stretch: 3, queued: 1, starts: 1, away: 1, silent: true}, at("pro", 60))
	assert.Equal(t, usual, at("pro", 120))
}

func TestAClockTimeThatIsNoneIsSaid(t *testing.T) {
	d := Day{Incidents: []Trouble{{Name: "away", At: "25:00"}}}
	_, err := d.occurrences(newChance(1))
	require.EqualError(t, err, `away: at: "25:00" is no clock time like 09:30`)
}

func TestTenantsComeLeaveAndSleep(t *testing.T) {
	d := Day{Export: 10, Regions: []Region{{}}, Night: 1, Plans: map[string]Plan{
		"free": {Tier: "WARM", Sessions: &Sessions{PerDay: day / 10, Lasts: 1, Sleeps: 30, Promoted: 40}},
	}}
	c, tenant := newChance(1), &tenant{plan: "free", tier: "WARM", asleep: true}
	assert.Equal(t, woke, tenant.live(&d, 0, c)) // so many sessions that one begins for certain
	tenant.leaves = 50
	assert.Equal(t, nothing, tenant.live(&d, 40, c))
	assert.Equal(t, promoted, tenant.live(&d, 45, c))
	assert.Equal(t, demoted, tenant.live(&d, 50, c))
	d.Plans["free"].Sessions.PerDay = 0
	assert.Equal(t, nothing, tenant.live(&d, 80, c))
	assert.Equal(t, slept, tenant.live(&d, 90, c))
}

func TestHistoryIsTheDaysOwnAverage(t *testing.T) {
	d := Day{Night: 0, Plans: map[string]Plan{"pro": {
		Tenants: 10, Statements: 2, Latency: Spread{Median: 0.05, P95: 0.1}, Failing: 0.01,
	}}}
	got := map[string]float64{}
	for _, a := range d.averages(map[string]Promise{"pro": {QueryP95: 0.1}}) {
		got[fmt.Sprint(a.slo, " missed=", a.missed)] = math.Round(a.events*1e9) / 1e9
	}
	assert.Equal(t, map[string]float64{
		"query_latency missed=false": 600, "query_latency missed=true": 30,
		"availability missed=false": 600, "availability missed=true": 6,
	}, got)
}

// An alert that is sent, resent and resolved, as Prometheus does it: the engine, its intervals and `for` are the real ones.
func TestRulesAreEvaluatedAtTheirIntervals(t *testing.T) {
	begins, sent := time.Date(2000, 1, 4, 0, 0, 0, 0, time.UTC), []post{}
	p, err := startWith(t, "testdata/rules.yml", begins, &sent)
	require.NoError(t, err)
	scrape := newBook(nil)
	for step := range 60 {
		at := begins.Add(time.Duration(step) * 10 * time.Second)
		require.NoError(t, p.evaluate(at.Add(500*time.Millisecond)))
		scrape.own("up").value = 1
		if 12 <= step && step < 36 {
			scrape.own("up").value = 0
		}
		require.NoError(t, exportTo(p.db, at, []*book{scrape}))
	}
	require.NotEmpty(t, sent)
	first, last := sent[0].Alerts[0], sent[len(sent)-1].Alerts[0]
	assert.Equal(t, "Down", first.Name())
	assert.WithinRange(t, first.StartsAt, begins.Add(150*time.Second), begins.Add(161*time.Second)) // for 30 s
	assert.WithinRange(t, last.EndsAt, begins.Add(360*time.Second), begins.Add(371*time.Second))
	assert.GreaterOrEqual(t, len(sent), 4, "it is sent again each minute while it fires")
}

func TestAnAlertThatReadsWhatNobodyHasIsFound(t *testing.T) {
	p, err := startWith(t, "testdata/rules.yml", time.Now(), nil)
	require.NoError(t, err)
	assert.Empty(t, p.unknown(map[string]bool{"up": true}))
	assert.Equal(t, []string{"up"}, p.unknown(map[string]bool{"down": true}))
}

func startWith(t *testing.T, rules string, begins time.Time, sent *[]post) (*prometheus, error) {
	t.Helper()
	p, err := start(t.TempDir(), []string{rules}, begins, func(at time.Time, alerts []*notifier.Alert) {
		*sent = append(*sent, post{at, alerts})
	})
	if err == nil {
		t.Cleanup(func() { require.NoError(t, p.db.Close()) })
	}
	return p, err
}

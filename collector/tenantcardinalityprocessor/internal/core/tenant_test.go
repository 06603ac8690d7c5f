package core

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// hit is one increment of a tenant's in the second before a time.
func hit(tenant, plan string, time float64, count int64) in {
	return in{metric: hits, tenant: tenant, plan: plan, start: time - 1, time: time, number: IntNumber(count)}
}

func TestTenantsAreNamedAtFirstSightWithinTheBudget(t *testing.T) {
	l := newLab(t)
	l.add(hit("a", "pro", 1, 1), hit("b", "pro", 1, 2), hit("c", "pro", 1, 4), hit("d", "pro", 1, 8))
	l.add(hit("e", "free", 1, 16), hit("f", "enterprise", 1, 32), hit("g", "enterprise", 1, 64))
	l.add(hit("h", "trial", 1, 128), hit("i", "trial", 1, 256))
	assert.Equal(t, []string{
		"hits{enterprise,f} 32", "hits{enterprise,g} 64", "hits{free,_other} 16",
		"hits{pro,_other} 12", "hits{pro,a} 1", "hits{pro,b} 2",
		"hits{trial,_other} 256", "hits{trial,h} 128",
	}, l.flush(10))
	assert.Equal(t, []PlanStats{{"enterprise", 2, 0}, {"free", 0, 1}, {"pro", 2, 2}, {"trial", 1, 1}}, l.state.Stats().Plans)
}

func TestATenantThatChangesItsPlanIsCountedUnderTheNewOne(t *testing.T) {
	l := newLab(t)
	l.add(hit("a", "pro", 1, 1))
	assert.Equal(t, []string{"hits{pro,a} 1"}, l.flush(10))
	l.add(hit("a", "enterprise", 11, 2))
	assert.Equal(t, []string{"hits{enterprise,a} 2", "hits{pro,a} 1"}, l.flush(10))
}

func TestATenantWithoutAPlanGetsNone(t *testing.T) {
	l := newLab(t)
	l.add(hit("a", "", 1, 1), hit("b", "", 1, 2))
	assert.Equal(t, []string{"hits{_other} 2", "hits{a} 1"}, l.flush(10), "default_budget is 1")
}

func TestWhatWasFoldedBeforeIsNobody(t *testing.T) {
	l := newLab(t)
	l.add(hit("_other", "enterprise", 1, 5), hit("a", "enterprise", 1, 1))
	assert.Equal(t, []string{"hits{enterprise,_other} 5", "hits{enterprise,a} 1"}, l.flush(10))
	assert.Equal(t, []PlanStats{{"enterprise", 1, 0}}, l.state.Stats().Plans)
}

func TestWhatWouldKeepAFoldedTenantApartIsFoldedToo(t *testing.T) {
	l := newLab(t)
	for _, tenant := range []string{"a", "b", "c", "d"} {
		point := hit(tenant, "pro", 1, 1)
		point.more = pairs("pool", "pool of "+tenant, "status", "ok")
		l.add(point)
	}
	assert.Equal(t, []string{
		"hits{pro,_other,_other,ok} 2", "hits{pro,pool of a,a,ok} 1", "hits{pro,pool of b,b,ok} 1",
	}, l.flush(10))
}

func TestSeriesKeepOnlyTheAttributesThatTheyMay(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.Attributes = map[string][]string{"hits": {"status"}} })
	for i, query := range []string{"SELECT 1", "SELECT 2"} {
		point := hit("a", "pro", 1, int64(i+1))
		point.more = pairs("status", "ok", "query", query)
		l.add(point)
		assert.Equal(t, Duplicate, l.add(point), "streams are told apart by all of them")
	}
	assert.Equal(t, []string{"hits{pro,a,ok} 3"}, l.flush(10))
	assert.Equal(t, uint64(4), l.state.Stats().Trimmed)
}

func TestAttributesOfAllTypesTellSeriesApart(t *testing.T) {
	l := newLab(t)
	values := []Value{String("1"), Int(1), Double(1), Bool(true), {}, String("")}
	for i, v := range values {
		point := hit("a", "pro", 1, 1<<i)
		point.more = attributes{{"x", v}}
		l.add(point)
	}
	assert.Len(t, l.flush(10), len(values))
	assert.Equal(t, len(values), l.state.Stats().Streams)
}

func TestTheOrderOfAttributesIsNothing(t *testing.T) {
	a, b := pairs("x", "1", "y", "2"), pairs("y", "2", "x", "1")
	assert.Equal(t, identityOf(a), identityOf(b))
	for _, other := range []attributes{pairs("x", "2", "y", "1"), pairs("x", "1"), pairs("1", "x", "2", "y"), pairs("x", "1", "y", "2", "y", "2"), nil} {
		assert.NotEqual(t, identityOf(a), identityOf(other))
	}
}

func TestAnIdentityNeverChanges(t *testing.T) {
	var identity Identity
	identity.Add("count", Int(3))
	identity.AddString("project_id", "proj_a")
	assert.Equal(t, Identity(0x19681841e59ddd15), identity.WithString("hits"), "it is stored: another hash is another format")
}

func TestProcessesAndScopeVersionsAreSummedAway(t *testing.T) {
	l := newLab(t)
	for i, process := range []string{"1", "2"} {
		for j, version := range []Identity{1, 2} {
			point := hit("a", "pro", 1, 1<<(2*i+j))
			point.process, point.metric.ScopeIdentity = process, version
			l.add(point)
		}
	}
	assert.Equal(t, []string{"hits{pro,a} 15"}, l.flush(10))
	assert.Equal(t, attributes(l.output.Points[0].Family.Kept), pairs("service.name", "shop"))
	assert.Equal(t, 4, l.state.Stats().Streams)
}

func TestMetricsOfOneNameAndAnotherKindOrUnitAreCountedApart(t *testing.T) {
	l := newLab(t)
	l.add(hit("a", "pro", 1, 1))
	for i, change := range []func(*Metric){
		func(m *Metric) { m.Unit = "s" }, func(m *Metric) { m.Monotonic = false }, func(m *Metric) { m.Kind = KindGauge },
	} {
		point := hit("a", "pro", 1, 2)
		change(&point.metric)
		l.add(point)
		assert.Equal(t, uint64(i+1), l.state.Stats().Conflicts)
	}
	assert.Equal(t, []string{"hits{pro,a} 1", "hits{pro,a} 2", "hits{pro,a} 2", "hits{pro,a} 2"}, l.flush(10))
}

func TestDeltaAndCumulativeStreamsAreOneSeries(t *testing.T) {
	l := newLab(t)
	cumulative := hit("a", "pro", 2, 4)
	cumulative.metric.Delta = false
	l.add(hit("a", "pro", 2, 1), cumulative)
	assert.Equal(t, []string{"hits{pro,a} 5"}, l.flush(10))
}

func TestAnIntegerBecomesAFloatOnlyIfItHasTo(t *testing.T) {
	l := newLab(t)
	l.add(hit("a", "pro", 1, 1<<62), hit("a", "pro", 2, 1<<62-1))
	assert.Equal(t, []string{"hits{pro,a} 9223372036854775807"}, l.flush(10))
	l.add(hit("a", "pro", 11, 1))
	assert.Equal(t, []string{"hits{pro,a} 9.223372036854776e+18f"}, l.flush(10))
	half := hit("b", "pro", 21, 0)
	half.number = FloatNumber(0.5)
	l.add(hit("b", "pro", 20, 3), half)
	assert.Contains(t, l.flush(10), "hits{pro,b} 3.5f")
}

// affected returns how many tenants there were, by plan.
func (l *lab) affected() map[string]int64 {
	counts := map[string]int64{}
	for _, p := range l.output.Points {
		if p.Family.Name == "tenants.affected" {
			counts[p.Attributes[0].Value.Str] = p.Number.Int
		}
	}
	return counts
}

func TestATenantThatIsAffectedAgainIsCountedForLonger(t *testing.T) {
	for _, again := range []float64{5, 40, 250} { // in the same part of the window, or in a later one
		l := newLab(t)
		l.add(hit("a", "pro", 1, 1))
		l.now = again
		l.add(hit("a", "pro", again, 1))
		l.flush(290)
		assert.Equal(t, int64(1), l.affected()["pro"], "again at %v", again)
		l.flush(60)
		assert.Equal(t, int64(0), l.affected()["pro"], "again at %v", again)
	}
}

func TestTheTenantsAffectedAreCounted(t *testing.T) {
	l := newLab(t)
	l.add(hit("a", "pro", 1, 1), hit("b", "pro", 1, 1), hit("c", "pro", 1, 1), hit("c", "pro", 2, 1), hit("d", "pro", 1, 0), hit("e", "free", 1, 0))
	l.flush(10)
	assert.Equal(t, map[string]int64{"pro": 3, "free": 0}, l.affected())
	l.flush(290)
	assert.Equal(t, int64(3), l.affected()["pro"])
	l.flush(60)
	assert.Equal(t, map[string]int64{"pro": 0, "free": 0}, l.affected())
}

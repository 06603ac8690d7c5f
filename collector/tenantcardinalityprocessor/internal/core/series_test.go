package core

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWithoutRoomForItsOwnSeriesANamedTenantIsFolded(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.MaxSeries = 100 }) // 90 of their own
	hitOf := func(tenant int, time float64) in {
		point := hit(fmt.Sprintf("t%03d", tenant), "enterprise", time, 1)
		point.process = point.tenant
		return point
	}
	for tenant := range 120 {
		l.add(hitOf(tenant, 1))
	}
	lines := l.flush(10)
	assert.Len(t, lines, 91)
	assert.Equal(t, "hits{enterprise,_other} 30", lines[0])
	stats := l.state.Stats()
	assert.Equal(t, 91, stats.Series)
	assert.Equal(t, uint64(30), stats.Squeezed)

	for _, time := range []float64{400, 410} { // the first ninety are silent for long
		l.now = time
		for tenant := 90; tenant < 120; tenant++ {
			l.add(hitOf(tenant, time))
		}
		l.flush(1)
	}
	assert.Contains(t, l.lines(func(OutputPoint) bool { return true }), "hits{enterprise,t090} 1", "there is room now")
	assert.Equal(t, 31, l.state.Stats().Series)
}

func TestWithoutRoomForFoldingOnlyPlanAndTierAreLeft(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.MaxSeries = 100 })
	for i := range 200 {
		point := hit("a", "free", 1, 1)
		point.more = pairs("tier", "HOT", "query", fmt.Sprint(i))
		l.add(point)
	}
	lines := l.flush(10)
	assert.Len(t, lines, 99)
	assert.Contains(t, lines, "hits{true,free,HOT} 102")
	assert.Equal(t, uint64(102), l.state.Stats().Overflow)
}

func TestWithoutAnyRoomPointsAreRefusedAndNothingOfThemIsRemembered(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.MaxSeries = 10 })
	for i := range 20 {
		point := hit("a", fmt.Sprintf("plan%02d", i), 1, 1)
		point.metric.Delta = false
		l.add(point)
	}
	assert.Len(t, l.flush(10), 10)
	stats := l.state.Stats()
	assert.Equal(t, uint64(10), stats.Points[Refused])
	assert.Equal(t, 10, stats.Streams)
	assert.Len(t, stats.Plans, 10)
	assert.Equal(t, 10, l.state.tenants.used)
}

func TestHistogramsFillTheLimitByTheirBuckets(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.MaxSeries = 25 })
	for i := range 10 {
		l.add(took(durations, fmt.Sprint(i), 1, histogram([]float64{1, 2}, 1, 1, 1)))
	}
	assert.Len(t, l.flush(10), 3, "5 series each: two of their own, the others folded")
	assert.Equal(t, 15, l.state.Stats().Series)
}

func TestBeyondTheLimitOfStreamsDeltaPointsCountAndOthersDoNot(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.MaxStreams = 2 })
	l.add(hit("a", "pro", 1, 1), hit("b", "pro", 1, 1))
	assert.Equal(t, Accepted, l.add(hit("c", "enterprise", 1, 5)))
	assert.Equal(t, Accepted, l.add(hit("c", "enterprise", 1, 5)), "nobody knows that it was counted before")
	cumulative, gauge := hit("c", "pro", 1, 1), reading(memory, "1", "c", "pro", 1, 1)
	cumulative.metric.Delta = false
	assert.Equal(t, Refused, l.add(cumulative))
	assert.Equal(t, Refused, l.add(gauge))
	other := hit("a", "pro", 1, 3)
	other.more = pairs("status", "ok")
	l.add(other)
	assert.Equal(t, []string{"hits{enterprise,_other} 10", "hits{pro,a,ok} 3", "hits{pro,a} 1", "hits{pro,b} 1"}, l.flush(10),
		"a tenant that is not remembered is folded")
	stats := l.state.Stats()
	assert.Equal(t, []int{2, 2}, []int{stats.Streams, stats.StreamLimit})
	assert.Equal(t, uint64(3), stats.Streamless)
}

func TestExemplarsAreKeptOneForEachBucket(t *testing.T) {
	exemplar := func(time float64, value float64) Exemplar {
		return Exemplar{Time: at(time), Value: FloatNumber(value), TraceID: [16]byte{byte(time)}, Attributes: pairs("user", "u")}
	}
	l := newLab(t)
	point := took(durations, "a", 5, histogram([]float64{1, 5}, 2, 0, 1))
	point.exemplars = []Exemplar{exemplar(2, 0.5), exemplar(4, 1), exemplar(3, 0.1), exemplar(1, 9)}
	l.add(point)
	point.time = 4
	assert.Equal(t, Duplicate, l.add(point))
	l.flush(10)
	kept := l.output.Points[1].Exemplars
	assert.Equal(t, []Exemplar{exemplar(4, 1), exemplar(1, 9)}, kept)
	assert.Empty(t, l.output.Points[0].Exemplars)
	l.flush(10)
	assert.Empty(t, l.output.Points[0].Exemplars, "they are of one interval")
}

func TestExemplarsOfTheFoldedTellWhoseTheyAre(t *testing.T) {
	l := newLab(t)
	point := hit("a", "free", 5, 2)
	for i := range 10 {
		point.exemplars = append(point.exemplars, Exemplar{Time: at(float64(i)), Value: IntNumber(1), Attributes: pairs("user", "u")})
	}
	l.add(point)
	l.flush(10)
	kept := l.output.Points[1].Exemplars
	assert.Len(t, kept, maxExemplars, "the newest few")
	for _, e := range kept {
		assert.Equal(t, pairs("user", "u", "project_id", "a"), attributes(e.Attributes))
		assert.GreaterOrEqual(t, e.Time, at(6))
	}
	assert.Len(t, point.exemplars[9].Attributes, 1, "what came in is not changed")
}

func TestExemplarsHaveNoAttributesThatTheirMetricMayNotHave(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.Attributes = map[string][]string{"hits": {"status"}} })
	point := hit("a", "free", 5, 2)
	point.exemplars = []Exemplar{{Time: at(5), Value: IntNumber(1), Attributes: pairs("statement", "SELECT secret", "status", "ok")}}
	l.add(point)
	l.flush(10)
	assert.Equal(t, pairs("status", "ok", "project_id", "a"), attributes(l.output.Points[1].Exemplars[0].Attributes))
}

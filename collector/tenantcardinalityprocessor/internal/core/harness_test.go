package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// epoch is second 0 of these tests: all times in them are seconds since then.
var epoch = time.Unix(1_700_000_000, 0)

func at(second float64) int64 { return epoch.UnixNano() + int64(second*1e9) }

// attributes are handed out as a shell does.
type attributes []Attribute

func (a attributes) Append(to []Attribute) []Attribute { return append(to, a...) }

func pairs(keysAndValues ...string) (all attributes) {
	for i := 0; i < len(keysAndValues); i += 2 {
		all = append(all, Attribute{keysAndValues[i], String(keysAndValues[i+1])})
	}
	return all
}

// lab is a State with the time passed in, and what it said last.
type lab struct {
	t      *testing.T
	state  *State
	now    float64
	output *Output
	stored map[string][]byte
}

func testSettings() Settings {
	return Settings{
		Tenant: "project_id", Plan: "plan", Tier: "tier", Other: "_other", AlsoFolded: []string{"pool"},
		Budgets: map[string]int{"free": 0, "pro": 2}, DefaultBudget: 1, NeverFold: []string{"enterprise"},
		MaxSeries: 1000, MaxStreams: 1000, StreamTimeout: time.Hour, StaleAfter: 5 * time.Minute,
		Weights: map[string]float64{"hits": 1}, HalfLife: time.Hour, Enter: 1.5, MinStay: 10 * time.Minute, Candidates: 4,
		Gauges: map[string]Fold{"state": FoldMax}, ZeroPoints: true, Since: epoch,
		Affected: []string{"hits"}, AffectedWindow: 5 * time.Minute,
	}
}

func newLab(t *testing.T, change ...func(*Settings)) *lab {
	settings := testSettings()
	for _, each := range change {
		each(&settings)
	}
	return &lab{t: t, state: New(settings, epoch), stored: map[string][]byte{}}
}

// in is one point that comes in: from a process, of a tenant on a plan.
type in struct {
	metric      Metric
	process     string
	tenant      string
	plan        string
	start, time float64
	more        attributes
	end         bool
	number      Number
	explicit    *Explicit
	exponential *Exponential
	exemplars   []Exemplar
}

var (
	hits    = Metric{Scope: "scope", Name: "hits", Kind: KindSum, Monotonic: true, Delta: true}
	queries = Metric{Scope: "scope", Name: "queries", Kind: KindSum, Monotonic: true}
	pool    = Metric{Scope: "scope", Name: "pool", Kind: KindSum}
	memory  = Metric{Scope: "scope", Name: "memory", Kind: KindGauge}
	state   = Metric{Scope: "scope", Name: "state", Kind: KindGauge}
)

func (i in) attributes() attributes {
	all := pairs("project_id", i.tenant)
	if i.plan != "" {
		all = append(all, pairs("plan", i.plan)...)
	}
	return append(all, i.more...)
}

// resource is the process'; that of "nobody" has no attributes.
func (i in) resource() Resource {
	if i.process == "nobody" {
		return Resource{Kept: attributes{}}
	}
	process := pairs("service.name", "shop", "service.instance.id", i.process)
	return Resource{Identity: identityOf(process), Kept: process[:1]}
}

// add counts points, and returns what became of the last one.
func (l *lab) add(all ...in) Outcome {
	var outcome Outcome
	for _, i := range all {
		before := l.state.Stats().Points
		b := l.state.Begin(epoch.Add(time.Duration(l.now * 1e9)))
		b.Resource(i.resource())
		b.Metric(i.metric)
		all := i.attributes()
		p := &Point{
			Identity: identityOf(all), Tenant: i.tenant, Plan: i.plan, Tier: "HOT", Attributes: all,
			Start: at(i.start), Time: at(i.time), NoValue: i.end, Exemplars: i.exemplars,
		}
		if i.start < 0 {
			p.Start = 0
		}
		switch {
		case i.metric.Kind == KindExplicit:
			b.Explicit(p, i.explicit)
		case i.metric.Kind == KindExponential:
			b.Exponential(p, i.exponential)
		default:
			b.Number(p, i.number)
		}
		b.End()
		for o, count := range l.state.Stats().Points {
			if count > before[o] {
				outcome = Outcome(o)
			}
		}
	}
	return outcome
}

// flush lets time pass, and returns the points at the flush: a line for each series.
func (l *lab) flush(seconds float64) []string {
	l.now += seconds
	l.output = l.state.Flush(epoch.Add(time.Duration(l.now * 1e9)))
	maps.Copy(l.stored, l.state.Dirty())
	maps.Copy(l.stored, l.state.Sent())
	return l.lines(func(p OutputPoint) bool { return p.Time == l.output.Time })
}

// lines writes points of the last flush as "metric{attributes} value".
func (l *lab) lines(which func(OutputPoint) bool) []string {
	var all []string
	for _, p := range l.output.Points {
		if which(p) && p.Family.Name != "tenants.affected" {
			all = append(all, labels(p)+" "+value(p))
		}
	}
	slices.Sort(all)
	return all
}

func labels(p OutputPoint) string {
	var all []string
	for _, a := range p.Attributes {
		text := a.Value.Str
		switch a.Value.Kind {
		case KindInt:
			text = fmt.Sprint(a.Value.AsInt())
		case KindBool:
			text = fmt.Sprint(a.Value.AsBool())
		}
		all = append(all, text)
	}
	return p.Family.Name + "{" + strings.Join(all, ",") + "}"
}

func value(p OutputPoint) string {
	switch {
	case p.NoValue:
		return "ends"
	case p.Explicit != nil:
		return fmt.Sprint(p.Explicit.Count, p.Explicit.Sum, p.Explicit.Bounds, p.Explicit.Counts)
	case p.Exponential != nil:
		h := p.Exponential
		return fmt.Sprintf("%d %v scale %d zero %d +%d%v -%d%v", h.Count, h.Sum, h.Scale, h.ZeroCount,
			h.Positive.Offset, h.Positive.Counts, h.Negative.Offset, h.Negative.Counts)
	case p.Number.IsInt:
		return fmt.Sprint(p.Number.Int)
	}
	return fmt.Sprint(p.Number.Float) + "f"
}

// restart makes another State of what was stored at the last flush.
func (l *lab) restart(change ...func(*Settings)) {
	settings := l.state.settings
	for _, each := range change {
		each(&settings)
	}
	now := epoch.Add(time.Duration(l.now * 1e9))
	l.state = New(settings, now)
	if len(l.stored) == 0 { // it never flushed
		return
	}
	require.NoError(l.t, l.state.Load(l.stored, now))
}

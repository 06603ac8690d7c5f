package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/notifier"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"
)

// Prometheus' own defaults, of its flags and of global.evaluation_interval.
const (
	lookback    = 5 * time.Minute
	timeout     = 2 * time.Minute
	maxSamples  = 50_000_000
	resendDelay = time.Minute
	evaluation  = time.Minute
)

// prometheus is its storage and its rules; who calls it says what time it is.
type prometheus struct {
	db     *tsdb.DB
	groups []*scheduled
	now    time.Time
	send   func(time.Time, []*notifier.Alert)
}

type scheduled struct {
	*rules.Group
	next time.Time
}

// start makes an empty Prometheus with rules. What its rules send to Alertmanager is given to send.
func start(directory string, files []string, begins time.Time, send func(time.Time, []*notifier.Alert)) (*prometheus, error) {
	options := tsdb.DefaultOptions()
	options.WALSegmentSize = -1 // nobody restarts it
	options.OutOfOrderTimeWindow = (30 * time.Minute).Milliseconds()
	db, err := tsdb.Open(directory, slog.New(slog.DiscardHandler), nil, options, nil)
	if err != nil {
		return nil, err
	}
	p := &prometheus{db: db, send: send}
	parse := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: maxSamples, Timeout: timeout, LookbackDelta: lookback, Parser: parse,
		NoStepSubqueryIntervalFn: func(int64) int64 { return evaluation.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true,
	})
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc: rules.EngineQueryFunc(engine, db), NotifyFunc: rules.SendAlerts(p, ""), Context: context.Background(),
		AppendableV2: db, Queryable: db, Logger: slog.New(slog.DiscardHandler), ResendDelay: resendDelay, Parser: parse,
	})
	groups, failed := manager.LoadGroups(evaluation, labels.EmptyLabels(), "", nil, false, files...)
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	for _, group := range groups {
		next := group.EvalTimestamp(begins.UnixNano()).Add(group.Interval())
		p.groups = append(p.groups, &scheduled{group, next})
	}
	slices.SortFunc(p.groups, func(a, b *scheduled) int {
		return cmp.Compare(a.File()+a.Name(), b.File()+b.Name())
	})
	return p, nil
}

// Send implements rules.Sender.
func (p *prometheus) Send(alerts ...*notifier.Alert) { p.send(p.now, alerts) }

// evaluate runs every group whose turn comes before a time, in order.
func (p *prometheus) evaluate(before time.Time) error {
	for {
		first := slices.MinFunc(p.groups, func(a, b *scheduled) int { return a.next.Compare(b.next) })
		if !first.next.Before(before) {
			return nil
		}
		p.now = first.next
		first.Eval(context.Background(), first.next)
		for _, rule := range first.Rules() {
			if err := rule.LastError(); err != nil {
				return fmt.Errorf("%s at %s: %w", rule.Name(), first.next.Format(time.TimeOnly), err)
			}
		}
		first.next = first.next.Add(first.Interval())
	}
}

// unknown returns the names that alerts read, or what they are recorded from, and that nobody has: such an alert would be
// silent all day and prove nothing.
func (p *prometheus) unknown(has map[string]bool) []string {
	records, alerts := map[string][]string{}, []string{}
	for _, group := range p.groups {
		for _, rule := range group.Rules() {
			if _, ok := rule.(*rules.RecordingRule); ok {
				records[rule.Name()] = append(records[rule.Name()], names(rule)...)
			} else {
				alerts = append(alerts, names(rule)...)
			}
		}
	}
	var lacking []string
	seen := map[string]bool{}
	for len(alerts) > 0 {
		name := alerts[0]
		alerts = alerts[1:]
		from, recorded := records[name]
		switch {
		case seen[name]:
		case recorded:
			alerts = append(alerts, from...)
		case !has[name]:
			lacking = append(lacking, name)
		}
		seen[name] = true
	}
	return lacking
}

// names returns the metrics that a rule reads.
func names(rule rules.Rule) (read []string) {
	for _, matchers := range parser.ExtractSelectors(rule.Query()) {
		for _, m := range matchers {
			switch {
			case m.Name != labels.MetricName:
			case m.Type == labels.MatchEqual:
				read = append(read, m.Value)
			default:
				read = append(read, m.SetMatches()...)
			}
		}
	}
	return read
}

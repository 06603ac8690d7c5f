// Package notifications replays what Prometheus sent to Alertmanager through Alertmanager's own code.
//
// It is a module of its own because Prometheus requires a later Alertmanager than the one that examples/stack runs.
package notifications

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/config/receiver"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/alertmanager/types"
	"github.com/prometheus/client_golang/prometheus"
)

// The defaults of Alertmanager's flags.
const (
	retention  = 120 * time.Hour
	gcInterval = 30 * time.Minute
)

// alertmanager is what cmd/alertmanager wires, but for the API, the cluster and the files of its state.
type alertmanager struct {
	alerts     *mem.Alerts
	inhibitor  *inhibit.Inhibitor
	dispatcher *dispatch.Dispatcher
}

// start runs a configuration. Each notification is given to tell, in place of PagerDuty and Slack.
func start(file string, tell func(notification)) (*alertmanager, error) {
	conf, err := config.LoadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	logger, registry := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	marker := types.NewMarker(registry)
	log, err := nflog.New(nflog.Options{Retention: retention, Logger: logger, Metrics: registry})
	if err != nil {
		return nil, err
	}
	silences, err := silence.New(silence.Options{Retention: retention, Logger: logger, Metrics: registry})
	if err != nil {
		return nil, err
	}
	receivers, err := receiversOf(conf, logger, tell)
	if err != nil {
		return nil, err
	}
	alerts, err := mem.NewAlerts(context.Background(), marker, gcInterval, nil, logger, registry)
	if err != nil {
		return nil, err
	}
	inhibitor := inhibit.NewInhibitor(alerts, conf.InhibitRules, marker, logger)
	pipeline := notify.NewPipelineBuilder(registry, featurecontrol.NoopFlags{}).New(
		receivers, func() time.Duration { return 0 }, inhibitor, silence.NewSilencer(silences, marker, logger),
		timeinterval.NewIntervener(intervals(conf)), marker, log, nil,
	)
	dispatcher := dispatch.NewDispatcher(
		alerts, dispatch.NewRoute(conf.Route, nil), pipeline, marker, atLeast(notify.MinTimeout), nil, logger,
		dispatch.NewDispatcherMetrics(false, registry),
	)
	go dispatcher.Run()
	go inhibitor.Run()
	return &alertmanager{alerts, inhibitor, dispatcher}, nil
}

func (a *alertmanager) stop() {
	a.dispatcher.Stop()
	a.inhibitor.Stop()
	a.alerts.Close()
}

// receiversOf returns the configured integrations, each with a notifier that tells instead of sending. Building the real
// ones checks their templates, and says which of them want to hear that an alert is over.
func receiversOf(
	conf *config.Config, logger *slog.Logger, tell func(notification),
) (map[string][]notify.Integration, error) {
	tmpl, err := template.FromGlobs(conf.Templates)
	if err != nil {
		return nil, err
	}
	receivers := map[string][]notify.Integration{}
	for _, configured := range conf.Receivers {
		built, err := receiver.BuildReceiverIntegrations(configured, tmpl, logger)
		if err != nil {
			return nil, fmt.Errorf("receiver %s: %w", configured.Name, err)
		}
		for i := range built {
			teller := &teller{receiver: configured.Name, integration: built[i].Name(), tell: tell}
			receivers[configured.Name] = append(receivers[configured.Name],
				notify.NewIntegration(teller, &built[i], built[i].Name(), built[i].Index(), configured.Name))
		}
	}
	return receivers, nil
}

func intervals(conf *config.Config) map[string][]timeinterval.TimeInterval {
	named := map[string][]timeinterval.TimeInterval{}
	for _, interval := range conf.MuteTimeIntervals {
		named[interval.Name] = interval.TimeIntervals
	}
	for _, interval := range conf.TimeIntervals {
		named[interval.Name] = interval.TimeIntervals
	}
	return named
}

func atLeast(least time.Duration) func(time.Duration) time.Duration {
	return func(timeout time.Duration) time.Duration { return max(timeout, least) }
}

// notification is one call of an integration: a page, a message.
type notification struct {
	At          time.Time   `json:"at"`
	Receiver    string      `json:"receiver"`
	Integration string      `json:"integration"`
	Alerts      []toldAlert `json:"alerts"`
}

type toldAlert struct {
	Labels      map[string]string `json:"labels"`
	Description string            `json:"description"`
	StartsAt    time.Time         `json:"starts_at"`
	Firing      bool              `json:"firing"`
}

type teller struct {
	receiver    string
	integration string
	tell        func(notification)
}

// Notify implements notify.Notifier.
func (t *teller) Notify(_ context.Context, alerts ...*types.Alert) (bool, error) {
	now := time.Now()
	made := notification{At: now.UTC(), Receiver: t.receiver, Integration: t.integration}
	for _, alert := range alerts {
		labels := map[string]string{}
		for name, value := range alert.Labels {
			labels[string(name)] = string(value)
		}
		description := string(alert.Annotations["description"])
		made.Alerts = append(made.Alerts, toldAlert{labels, description, alert.StartsAt.UTC(), !alert.ResolvedAt(now)})
	}
	t.tell(made)
	return false, nil
}

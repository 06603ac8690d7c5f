// Command day lets 2,000 simulated tenants live through a day, gives what the collector would send of it to Prometheus'
// own storage, and has Prometheus' own rules evaluated over it, each group at its own times. It prints what Prometheus
// would have sent to Alertmanager, one line of JSON a request, and on standard error how far it is.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/prometheus/prometheus/notifier"
	"github.com/prometheus/prometheus/storage"
)

func main() {
	file := flag.String("input", "", "what python -m benchmarks.noise has gathered")
	flag.Parse()
	if err := run(*file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// post is one request to Alertmanager.
type post struct {
	At     time.Time         `json:"at"`
	Alerts []*notifier.Alert `json:"alerts"`
}

func run(file string) error {
	in, err := readInput(file)
	if err != nil {
		return err
	}
	directory, err := os.MkdirTemp("", "noise")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	var failed error
	p, err := start(directory, in.Rules, in.Day.Start, func(at time.Time, alerts []*notifier.Alert) {
		failed = errors.Join(failed, encoder.Encode(post{at, alerts}))
	})
	if err != nil {
		return err
	}
	defer p.db.Close()
	w, err := newWorld(in, p)
	if err != nil {
		return err
	}
	if err := w.remember(); err != nil {
		return err
	}
	if err := w.pass(); err != nil {
		return err
	}
	return failed
}

// world is everything that the day happens to.
type world struct {
	in         *Input
	prometheus *prometheus
	series     *book // what the collector exports
	scrape     *book // what Prometheus finds out by itself
	fleet      *fleet
	itself     *itself
}

// newWorld returns a world whose tenants are about to begin.
func newWorld(in *Input, p *prometheus) (*world, error) {
	if lacking := p.unknown(in.names()); lacking != nil {
		return nil, fmt.Errorf("alerts read what this day does not have: %s: add it to benchmarks/noise/day", lacking)
	}
	b := newBook(in.Metrics)
	f, err := newFleet(in, b, newChance(in.Day.Seed))
	if err != nil {
		return nil, err
	}
	return &world{in, p, b, newBook(nil), f, &itself{fleet: f, lives: map[string]int{}}}, nil
}

// live lets everybody live for some seconds, in steps of an export, and says whether the collector exports at the end.
func (w *world) live(second, lasts float64) (exports bool) {
	for step := w.in.Day.Export; step <= lasts; step += w.in.Day.Export {
		w.fleet.step(second - lasts + step)
		exports = w.itself.step(second - lasts + step)
	}
	return exports
}

// pass lets the day pass.
func (w *world) pass() error {
	d := &w.in.Day
	for second := 0.0; second < d.Hours*3600; second += d.Export {
		at := d.at(second)
		if err := w.prometheus.evaluate(at.Add(duration(d.Arrival))); err != nil {
			return err
		}
		books := []*book{w.scrape}
		if w.scrape.own("up").value = 0; w.live(second, d.Export) {
			w.scrape.own("up").value = 1
			books = append(books, w.series)
		}
		if err := exportTo(w.prometheus.db, at, books); err != nil {
			return err
		}
		if math.Mod(second, 3600) == 0 {
			fmt.Fprintf(os.Stderr, "%s  %d series\n", at.Format("15:04"), w.prometheus.db.Head().NumSeries())
		}
	}
	return nil
}

func exportTo(to storage.AppendableV2, at time.Time, books []*book) error {
	appender := to.AppenderV2(context.Background())
	for _, b := range books {
		if err := b.export(appender, at.UnixMilli()); err != nil {
			return err
		}
	}
	return appender.Commit()
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// at returns a second of the day as a time.
func (d *Day) at(second float64) time.Time { return d.Start.Add(duration(second)) }

// names returns the metrics in Prometheus that the day may have.
func (in *Input) names() map[string]bool {
	has := map[string]bool{}
	for _, name := range filled {
		metric := in.Metrics[name]
		if metric.Kind != "histogram" {
			has[metric.Name] = true
			continue
		}
		for _, suffix := range []string{"_count", "_sum", "_bucket"} {
			has[metric.Name+suffix] = true
		}
	}
	for _, name := range collectorNames {
		has[name] = true
	}
	return has
}

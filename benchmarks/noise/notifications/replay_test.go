package notifications

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/types"
	"github.com/prometheus/common/model"
)

var (
	configuration = flag.String("configuration", "", "alertmanager.yml")
	sent          = flag.String("sent", "", "what Prometheus sent: one JSON object a line")
	notified      = flag.String("notified", "", "where to write the notifications: one JSON object a line")
)

// TestReplay is a test because testing/synctest wants one: in its bubble the code under it sees a clock that jumps to the
// next timer whenever everybody waits, so that Alertmanager's 24 hours pass in seconds, and nothing of it is changed.
func TestReplay(t *testing.T) {
	if *configuration == "" {
		t.Skip("driven by make bench-noise")
	}
	posts, err := read(*sent)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(*notified)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	encoder := json.NewEncoder(out)
	replay(t, *configuration, posts, func(n notification) {
		if err := encoder.Encode(n); err != nil {
			t.Error(err)
		}
	})
}

// replay gives Alertmanager each post at its time, and lets what is then still firing be told. Its tells come one at a
// time, whichever group they are of.
func replay(t *testing.T, configuration string, posts []post, tell func(notification)) {
	synctest.Test(t, func(t *testing.T) {
		one := make(chan struct{}, 1)
		running, err := start(configuration, func(n notification) {
			one <- struct{}{}
			defer func() { <-one }()
			tell(n)
		})
		if err != nil {
			t.Fatal(err)
		}
		defer running.stop()
		for _, p := range posts {
			time.Sleep(time.Until(p.At))
			if err := running.alerts.Put(p.alerts(time.Now())...); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
	})
}

// post is one request of Prometheus' to Alertmanager.
type post struct {
	At     time.Time `json:"at"`
	Alerts []alert   `json:"alerts"`
}

type alert struct {
	Labels       model.LabelSet `json:"labels"`
	Annotations  model.LabelSet `json:"annotations"`
	StartsAt     time.Time      `json:"startsAt"`
	EndsAt       time.Time      `json:"endsAt"`
	GeneratorURL string         `json:"generatorURL"`
}

// alerts returns what Alertmanager's API makes of a post; Prometheus always says when an alert ends.
func (p post) alerts(now time.Time) []*types.Alert {
	made := make([]*types.Alert, len(p.Alerts))
	for i, a := range p.Alerts {
		made[i] = &types.Alert{UpdatedAt: now, Alert: model.Alert{
			Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.StartsAt, EndsAt: a.EndsAt,
			GeneratorURL: a.GeneratorURL,
		}}
	}
	return made
}

func read(file string) ([]post, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var posts []post
	decoder := json.NewDecoder(bufio.NewReader(in))
	for {
		var p post
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return posts, nil
		case err != nil:
			return nil, err
		}
		posts = append(posts, p)
	}
}

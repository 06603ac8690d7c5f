package notifications

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

var begins = time.Date(2000, 1, 4, 0, 0, 0, 0, time.UTC)

// sending is what Prometheus sends of an alert: each minute that it fires, and that it is over.
func sending(name string, since, over time.Duration) (posts []post) {
	send := func(at, ends time.Duration) {
		labels := model.LabelSet{"alertname": model.LabelValue(name), "plan": "pro"}
		a := alert{Labels: labels, StartsAt: begins.Add(since), EndsAt: begins.Add(ends)}
		posts = append(posts, post{begins.Add(at), []alert{a}})
	}
	for at := since; at < over; at += time.Minute {
		send(at, at+4*time.Minute)
	}
	send(over, over)
	return posts
}

func told(t *testing.T, posts []post) (lines []string) {
	replay(t, "testdata/alertmanager.yml", posts, func(n notification) {
		for _, a := range n.Alerts {
			lines = append(lines, fmt.Sprintf("%s %s %s firing=%t", n.At.Sub(begins), n.Receiver, a.Labels["alertname"], a.Firing))
		}
	})
	return lines
}

func TestAnAlertIsToldOnceAndWhenItIsOver(t *testing.T) {
	require.Equal(t, []string{"1m0s ops Down firing=true", "10m15s ops Down firing=false"},
		told(t, sending("Down", time.Minute, 10*time.Minute+5*time.Second)))
}

func TestItIsToldAgainAfterHours(t *testing.T) {
	require.Equal(t, []string{
		"0s ops Down firing=true", "4h0m15s ops Down firing=true", "5h0m15s ops Down firing=false",
	}, told(t, sending("Down", 0, 5*time.Hour+5*time.Second)))
}

func TestWhatIsInhibitedIsNotTold(t *testing.T) {
	posts := append(sending("Down", 0, 10*time.Minute+5*time.Second), sending("Silent", time.Minute, 9*time.Minute)...)
	slices.SortStableFunc(posts, func(a, b post) int { return a.At.Compare(b.At) })
	require.Equal(t, []string{"0s ops Down firing=true", "10m15s ops Down firing=false"}, told(t, posts))
}

func TestAConfigurationThatIsWrongIsSaid(t *testing.T) {
	_, err := start("testdata/none.yml", nil)
	require.ErrorContains(t, err, "testdata/none.yml: ")
}

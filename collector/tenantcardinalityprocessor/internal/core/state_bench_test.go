package core

import (
	"fmt"
	"testing"
	"time"
)

// full returns a State with so many streams, of a hundred processes and of tenants with ten streams each.
func full(streams int, plan string) *State {
	settings := testSettings()
	settings.MaxStreams, settings.MaxSeries, settings.StaleAfter = streams, 200_000, time.Hour
	settings.Budgets = map[string]int{"pro": 500}
	s := New(settings, epoch)
	fill(s, streams, plan, 1)
	return s
}

// fill counts one point of each stream.
func fill(s *State, streams int, plan string, second float64) {
	b := s.Begin(epoch.Add(time.Duration(second * 1e9)))
	defer b.End()
	for i := range streams {
		if i%(streams/100) == 0 {
			process := pairs("service.name", "shop", "service.instance.id", fmt.Sprint(i))
			b.Resource(Resource{Identity: identityOf(process), Kept: process[:1]})
			b.Metric(hits)
		}
		all := pairs("plan", plan, "project_id", fmt.Sprintf("proj_%07d", i/10), "status", fmt.Sprint(i%10))
		b.Number(&Point{
			Identity: identityOf(all), Tenant: all[1].Value.Str, Plan: plan, Attributes: all,
			Start: at(second - 1), Time: at(second),
		}, IntNumber(1))
	}
}

// BenchmarkFlush is how long points wait while a State with so many streams makes its output: folded, or as many series.
func BenchmarkFlush(b *testing.B) {
	for _, streams := range []int{10_000, 1_000_000} {
		for _, plan := range []string{"pro", "enterprise"} {
			b.Run(fmt.Sprintf("streams=%d/plan=%s", streams, plan), func(b *testing.B) {
				s, now := full(streams, plan), epoch
				b.ReportAllocs()
				for b.Loop() {
					now = now.Add(10 * time.Second)
					s.Flush(now)
					s.Sent()
				}
				b.ReportMetric(float64(s.Stats().Series), "series")
			})
		}
	}
}

// BenchmarkDirty is how long they wait while it makes its pages, when all streams have had a point since the last ones.
func BenchmarkDirty(b *testing.B) {
	for _, streams := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint("streams=", streams), func(b *testing.B) {
			s, size, second := full(streams, "pro"), 0, 1.
			s.Dirty()
			for b.Loop() {
				b.StopTimer()
				second++
				fill(s, streams, "pro", second)
				b.StartTimer()
				size = 0
				for _, page := range s.Dirty() {
					size += len(page)
				}
			}
			b.ReportMetric(float64(size)/float64(streams), "B/stream")
		})
	}
}

// BenchmarkNumber counts points of streams that are known: as they are, and when somebody was named since their last one.
func BenchmarkNumber(b *testing.B) {
	for _, promoted := range []bool{false, true} {
		b.Run(fmt.Sprint("promoted=", promoted), func(b *testing.B) {
			s := full(100_000, "pro")
			all := pairs("plan", "pro", "project_id", "proj_0009999", "status", "9")
			p := &Point{Identity: identityOf(all), Tenant: "proj_0009999", Plan: "pro", Attributes: all}
			process := pairs("service.name", "shop", "service.instance.id", fmt.Sprint(99_000))
			second := 10.
			batch := s.Begin(epoch)
			defer batch.End()
			batch.Resource(Resource{Identity: identityOf(process), Kept: process[:1]})
			batch.Metric(hits)
			b.ReportAllocs()
			for b.Loop() {
				second++
				p.Start, p.Time = at(second-1), at(second)
				if promoted {
					s.epoch++
				}
				batch.Number(p, IntNumber(1))
			}
			if s.stats.Points[Accepted] < 100_000 || s.streams.used != 100_000 {
				b.Fatal("it was not counted")
			}
		})
	}
}

package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// other is the project of the tenants that the collector has folded.
const other = "_other"

// key finds a series: whose it is, and the values of its metric's further labels in the catalogue's order.
type key struct {
	metric               string // OpenTelemetry name
	project, tier, plan  string
	first, second, third string
	instance             string // of what a process says of itself
}

// book has every series as the collector has it: totals since they were born.
type book struct {
	metrics map[string]Metric
	series  map[key]*series
	ordered []*series // in the order of their birth: the same in each run
	silent  map[string]bool
}

func newBook(metrics map[string]Metric) *book {
	return &book{metrics: metrics, series: map[key]*series{}, silent: map[string]bool{}}
}

type series struct {
	key
	applications bool // it comes from applications, which may fall silent
	bounds       []float64
	buckets      []float64 // counts of each, not of those below
	value, sum   float64   // of a histogram: the count, the sum
	points       []point
}

// point is one of the series that Prometheus has for one of ours.
type point struct {
	labels labels.Labels
	ref    storage.SeriesRef
	read   func(*series) float64
	last   float64
}

// add counts more of something; the first time the series is born.
func (b *book) add(k key, n float64) {
	if n != 0 {
		b.of(k).value += n
	}
}

// set sets a gauge.
func (b *book) set(k key, value float64) { b.of(k).value = value }

// observe counts values of a histogram: how many in each bucket, and what they add up to.
func (b *book) observe(k key, buckets []float64, sum float64) {
	s := b.of(k)
	for i, n := range buckets {
		s.buckets[i] += n
		s.value += n
	}
	s.sum += sum
}

// observeOne counts one value.
func (b *book) observeOne(k key, value float64) {
	s := b.of(k)
	at, _ := slices.BinarySearch(s.bounds, value)
	s.buckets[at]++
	s.value++
	s.sum += value
}

// born makes every series of a metric for one tenant, where the catalogue says that its plan's have them from the first
// moment.
func (b *book) born(project, tier, plan string) {
	for name, metric := range b.metrics {
		if !slices.Contains(metric.BornFor, plan) {
			continue
		}
		k := key{metric: name, project: project, plan: plan}
		free := metric.free()
		if slices.ContainsFunc(metric.Labels, func(l Label) bool { return l.Name == "tier" }) {
			k.tier = tier
		}
		for _, value := range free[0].Values {
			k.first = value
			b.of(k)
		}
	}
}

func (b *book) of(k key) *series {
	if found, ok := b.series[k]; ok {
		return found
	}
	metric, ok := b.metrics[k.metric]
	if !ok {
		panic(fmt.Sprintf("%s is not in the catalogue", k.metric))
	}
	made := &series{key: k, applications: metric.Applications, points: pointsOf(metric, labelsOf(metric, k))}
	if metric.Kind == "histogram" {
		made.bounds, made.buckets = metric.Buckets, make([]float64, len(metric.Buckets)+1)
	}
	return b.keep(made)
}

// own returns a series that Prometheus scrapes from the collector.
func (b *book) own(name string, further ...string) *series {
	k := key{metric: name, first: strings.Join(further, "="), instance: "collector"}
	if found, ok := b.series[k]; ok {
		return found
	}
	named := append([]string{labels.MetricName, name, "job", "collector", "instance", "collector:8888"}, further...)
	return b.keep(&series{key: k, points: []point{{labels: labels.FromStrings(named...), read: total}}})
}

func (b *book) keep(made *series) *series {
	b.series[made.key] = made
	b.ordered = append(b.ordered, made)
	return made
}

// end forgets what a process has counted.
func (b *book) end(instance string) {
	b.ordered = slices.DeleteFunc(b.ordered, func(s *series) bool {
		if s.instance == instance {
			delete(b.series, s.key)
		}
		return s.instance == instance
	})
}

// free returns the labels that are neither the tenant's nor constant.
func (m Metric) free() []Label {
	return slices.DeleteFunc(slices.Clone(m.Labels), func(l Label) bool {
		return l.Constant != "" || l.Name == "project_id" || l.Name == "tier" || l.Name == "plan"
	})
}

// labelsOf returns a series' labels, and panics where the catalogue has none like it: the day would have drifted from it.
func labelsOf(metric Metric, k key) labels.Labels {
	made, free := map[string]string{labels.MetricName: metric.Name}, []string{k.first, k.second, k.third}
	for _, label := range metric.Labels {
		value := ""
		switch {
		case label.Constant != "":
			value = label.Constant
		case label.Name == "project_id":
			value = k.project
		case label.Name == "tier":
			value = k.tier
		case label.Name == "plan":
			value = k.plan
		default:
			value, free = free[0], free[1:]
		}
		if value == "" || len(label.Values) > 0 && !slices.Contains(label.Values, value) {
			panic(fmt.Sprintf("%s cannot have %s=%q", k.metric, label.Name, value))
		}
		made[label.Name] = value
	}
	if k.instance != "" {
		made["job"], made["instance"] = strings.Split(k.instance, "-")[0], k.instance
	}
	return labels.FromMap(made)
}

func pointsOf(metric Metric, of labels.Labels) []point {
	if metric.Kind != "histogram" {
		return []point{{labels: of, read: total}}
	}
	named := func(suffix string, le ...string) labels.Labels {
		built := labels.NewBuilder(of).Set(labels.MetricName, metric.Name+suffix)
		if len(le) > 0 {
			built.Set(labels.BucketLabel, le[0])
		}
		return built.Labels()
	}
	points := []point{
		{labels: named("_count"), read: total},
		{labels: named("_sum"), read: func(s *series) float64 { return s.sum }},
	}
	for i, bound := range append(slices.Clone(metric.Buckets), math.Inf(1)) {
		points = append(points, point{
			labels: named("_bucket", strconv.FormatFloat(bound, 'g', -1, 64)),
			read:   func(s *series) float64 { return sum(s.buckets[:i+1]) },
		})
	}
	return points
}

func total(s *series) float64 { return s.value }

func sum(numbers []float64) (total float64) {
	for _, n := range numbers {
		total += n
	}
	return total
}

// export appends every series at a time in Unix ms; those that are new have a zero just before. The collector repeats what
// it has of applications that it does not hear.
func (b *book) export(to storage.AppenderV2, at int64) error {
	for _, s := range b.ordered {
		silent := s.applications && b.silent[s.plan]
		for i := range s.points {
			p := &s.points[i]
			if !silent {
				p.last = p.read(s)
			}
			if p.ref == 0 {
				if err := p.append(to, at-1, 0); err != nil {
					return err
				}
			}
			if err := p.append(to, at, p.last); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *point) append(to storage.AppenderV2, at int64, value float64) error {
	ref, err := to.Append(p.ref, p.labels, 0, at, value, nil, nil, storage.AOptions{})
	p.ref = ref
	return err
}

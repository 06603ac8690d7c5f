package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Input is what `python -m benchmarks.noise` hands over: the catalogue, the plan table, the collector's budgets and
// day.yaml, so that none of them is written down twice.
type Input struct {
	Metrics  map[string]Metric  `json:"metrics"` // by OpenTelemetry name
	Promises map[string]Promise `json:"promises"`
	Budgets  map[string]int     `json:"budgets"` // tenants with series of their own; absent: all
	Rules    []string           `json:"rules"`
	Judged   string             `json:"judged"` // the recordings that long windows are made of: events of a minute, …
	Missed   string             `json:"missed"` // … and of those the ones that missed their objective
	Day      Day                `json:"day"`
}

// Metric is what the catalogue says of one.
type Metric struct {
	Name    string    `json:"name"` // in Prometheus
	Kind    string    `json:"kind"` // counter, gauge, histogram
	Labels  []Label   `json:"labels"`
	Buckets []float64 `json:"buckets"`
	BornFor []string  `json:"born_for"`
	// Applications: it comes from them, not from the observer or the collector.
	Applications bool `json:"applications"`
}

// Label is one of a metric's. Values is empty where the set is open.
type Label struct {
	Name     string   `json:"name"`
	Values   []string `json:"values"`
	Constant string   `json:"constant"`
}

// Promise is what a plan's objectives are.
type Promise struct {
	QueryP95     float64 `json:"query_p95"`
	ColdStartP95 float64 `json:"cold_start_p95"` // 0: none may happen
	Availability float64 `json:"availability"`
}

// Day is day.yaml; its comments say what each line means.
type Day struct {
	Seed      uint64          `json:"seed"`
	Start     time.Time       `json:"start"`
	Hours     float64         `json:"hours"`
	History   float64         `json:"history"`
	Before    float64         `json:"before"`
	Export    float64         `json:"export"`
	Arrival   float64         `json:"arrival"`
	Regions   []Region        `json:"regions"`
	Night     float64         `json:"night"`
	Spread    float64         `json:"spread"`
	Plans     map[string]Plan `json:"plans"`
	Ordinary  []Trouble       `json:"ordinary"`
	Incidents []Trouble       `json:"incidents"`
}

// Region is where a share of the tenants works.
type Region struct {
	UTC   float64 `json:"utc"` // hours
	Share float64 `json:"share"`
}

// Plan is how its tenants behave.
type Plan struct {
	Tenants    int                `json:"tenants"`
	Tier       string             `json:"tier"`
	Sleepers   *float64           `json:"sleepers"`
	Sessions   *Sessions          `json:"sessions"`
	Statements float64            `json:"statements"`
	Latency    Spread             `json:"latency"`
	SQLErrors  float64            `json:"sql_errors"`
	Failing    float64            `json:"failing"`
	Queued     float64            `json:"queued"`
	Rejected   float64            `json:"rejected"`
	Start      Spread             `json:"start"`
	Caches     map[string]float64 `json:"caches"`
	Noisy      Noisy              `json:"noisy"`
}

// Sessions is when tenants come and go.
type Sessions struct {
	PerDay   float64 `json:"per_day"`
	Lasts    float64 `json:"lasts"`
	Sleeps   float64 `json:"sleeps"`
	Promoted float64 `json:"promoted"` // 0: never
}

// Spread is a lognormal distribution of durations.
type Spread struct {
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
}

// Noisy is the tenants that are at their limits all day.
type Noisy struct {
	Tenants         int     `json:"tenants"`
	HitsPerMinute   float64 `json:"hits_per_minute"`
	Rejected        float64 `json:"rejected"`
	CeilingsPerHour float64 `json:"ceilings_per_hour"`
}

// Trouble is something that happens to plans for a while, on an ordinary day or as an incident.
type Trouble struct {
	What   string   `json:"what"`
	Name   string   `json:"name"`
	At     string   `json:"at"`      // a clock time, or
	Every  float64  `json:"every"`   // so many seconds, or
	PerDay float64  `json:"per_day"` // so often, at any time
	Lasts  float64  `json:"lasts"`
	Plans  []string `json:"plans"`

	Stretch      float64 `json:"stretch"`
	Failing      float64 `json:"failing"`
	Queued       float64 `json:"queued"`
	Starts       float64 `json:"starts"`
	Away         float64 `json:"away"`
	AuthFailures float64 `json:"auth_failures"` // a second
	ColdCaches   float64 `json:"cold_caches"`
	ColdStarts   int     `json:"cold_starts"`
	Silent       bool    `json:"silent"`
	Surge        *Surge  `json:"surge"`
	Restart      string  `json:"restart"` // applications, collector, observer
	Store        string  `json:"store"`   // away

	ToldBy  []string `json:"told_by"` // for the verdict
	Follows []string `json:"follows"`
}

// Surge is one tenant of a plan that does so many times as much as it usually does.
type Surge struct {
	Plan    string  `json:"plan"`
	Rank    int     `json:"rank"` // which of them, by size
	Times   float64 `json:"times"`
	Heavier float64 `json:"heavier"` // so many times as long do its statements take
	Waits   float64 `json:"waits"`   // a minute: it waits for its own connections
}

func readInput(file string) (*Input, error) {
	opened, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	decoder := json.NewDecoder(opened)
	decoder.DisallowUnknownFields()
	var read Input
	if err := decoder.Decode(&read); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &read, nil
}

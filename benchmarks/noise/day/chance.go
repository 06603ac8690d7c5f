package main

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// chance draws numbers; the same seed draws the same ones.
type chance struct{ *rand.PCG }

func newChance(seed uint64) chance { return chance{rand.NewPCG(seed, 0)} }

func (c chance) share() float64 { return rand.New(c.PCG).Float64() }

func (c chance) below(n int) int { return rand.New(c.PCG).IntN(n) }

// events returns how many happen where so many are expected. What is split by independent shares stays Poisson, so each
// outcome of a statement is drawn by itself.
func (c chance) events(expected float64) float64 {
	if expected <= 0 {
		return 0
	}
	return distuv.Poisson{Lambda: expected, Src: c.PCG}.Rand()
}

// after returns a time to wait whose mean is known.
func (c chance) after(mean float64) float64 {
	return distuv.Exponential{Rate: 1 / mean, Src: c.PCG}.Rand()
}

// size returns a tenant's size: lognormal, 1 on average.
func (c chance) size(sigma float64) float64 {
	return distuv.LogNormal{Mu: -sigma * sigma / 2, Sigma: sigma, Src: c.PCG}.Rand()
}

const z95 = 1.6448536269514722 // of the standard normal distribution

func (s Spread) distribution(stretch float64) distuv.LogNormal {
	return distuv.LogNormal{Mu: math.Log(s.Median * stretch), Sigma: math.Log(s.P95/s.Median) / z95}
}

// within returns the share of durations up to a bound, if all take so many times as long as usual.
func (s Spread) within(bound, stretch float64) float64 { return s.distribution(stretch).CDF(bound) }

// shares returns the share of durations in each bucket, the last one without a bound, and the mean.
func (s Spread) shares(bounds []float64, stretch float64) (buckets []float64, mean float64) {
	distribution, below := s.distribution(stretch), 0.0
	for _, bound := range bounds {
		upTo := distribution.CDF(bound)
		buckets = append(buckets, upTo-below)
		below = upTo
	}
	return append(buckets, 1-below), distribution.Mean()
}

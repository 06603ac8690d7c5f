package core

import "slices"

// slotted is an exemplar and its place: one for each bucket, or a few.
type slotted struct {
	slot int
	Exemplar
}

// maxExemplars bounds those of numbers and of exponential histograms.
const maxExemplars = 4

// keepFew keeps a point's exemplars, the newest few of the series'.
func (b *Batch) keepFew(sr *series, p *Point) {
	for i := range p.Exemplars {
		b.keep(sr, p, i, sr.oldest())
	}
}

// oldest returns a free slot, or that of the oldest exemplar.
func (sr *series) oldest() int {
	if len(sr.exemplars) < maxExemplars {
		return len(sr.exemplars)
	}
	oldest := 0
	for i := range sr.exemplars {
		if sr.exemplars[i].Time < sr.exemplars[oldest].Time {
			oldest = i
		}
	}
	return sr.exemplars[oldest].slot
}

// keep keeps one of a point's exemplars unless there is a newer one in its slot. A folded one tells whose it is. Its
// attributes become labels too, so those that the metric's series must not have go.
func (b *Batch) keep(sr *series, p *Point, i, slot int) {
	kept := slotted{slot, p.Exemplars[i]}
	at := slices.IndexFunc(sr.exemplars, func(s slotted) bool { return s.slot == slot })
	if at >= 0 && sr.exemplars[at].Time > kept.Time {
		return
	}
	kept.Attributes = sr.family.trim(slices.Clone(kept.Attributes))
	if sr.level != own {
		kept.Attributes = append(kept.Attributes, Attribute{b.state.settings.Tenant, String(p.Tenant)})
	}
	if at >= 0 {
		sr.exemplars[at] = kept
	} else {
		sr.exemplars = append(sr.exemplars, kept)
	}
}

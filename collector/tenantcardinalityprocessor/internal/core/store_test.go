package core

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// everything is one point of each kind, at a time.
func everything(time float64) []in {
	cumulative := in{metric: queries, tenant: "c", plan: "enterprise", start: 0, time: time, number: FloatNumber(time / 2)}
	waited := took(waits, "a", time, histogram([]float64{1, 5}, uint64(time), 2, 3))
	waited.start = 0
	lasting := latencies
	lasting.Delta = false
	anonymous := hit("a", "pro", time, 2)
	anonymous.process = "nobody"
	return []in{
		anonymous, hit("a", "pro", time, 3), hit("b", "free", time, 4), hit("d", "pro", time, 1), hit("e", "pro", time, 9),
		cumulative, waited, reading(memory, "2", "b", "free", time, int64(time)),
		reading(pool, "1", "b", "free", time, 3), reading(state, "1", "a", "pro", time, 1),
		took(durations, "b", time, histogram([]float64{1}, 1, 1)), lasted("a", time, exponentialOf(2, 1, -3, 1, 2)),
		{metric: lasting, tenant: "c", plan: "enterprise", start: 0, time: time, exponential: exponentialOf(2, 1, 5, uint64(time))},
	}
}

func TestAStateGoesOnAfterARestart(t *testing.T) {
	whole, restarted := newLab(t), newLab(t)
	for i := range 4 {
		for _, l := range []*lab{whole, restarted} {
			l.add(everything(l.now + 1)...)
		}
		want := whole.flush(10)
		assert.Equal(t, want, restarted.flush(10))
		stats, again := whole.state.Stats(), restarted.state.Stats()
		assert.Equal(t, []int{stats.Streams, stats.Series, stats.Resources}, []int{again.Streams, again.Series, again.Resources})
		assert.Equal(t, stats.Plans, again.Plans)
		assert.Len(t, restarted.output.Points, len(whole.output.Points), "nothing begins or ends in restart %d", i)
		restarted.restart()
		assert.Equal(t, Duplicate, restarted.add(everything(restarted.now-9)...))
	}
}

func TestOnlyWhatChangedIsStoredAgain(t *testing.T) {
	l := newLab(t)
	for i := range 1000 {
		l.add(in{metric: hits, process: "1", tenant: "t" + string(rune('a'+i%26)) + string(rune('a'+i/26)), plan: "free", start: 0, time: 1, number: IntNumber(1)})
	}
	l.flush(10)
	l.flush(10)
	assert.Equal(t, []string{headPage}, slices.Collect(maps.Keys(l.state.Dirty())))
	l.add(in{metric: hits, process: "1", tenant: "taa", plan: "free", start: 1, time: 2, number: IntNumber(1)})
	l.state.Flush(epoch.Add(30 * time.Second))
	assert.ElementsMatch(t, []string{headPage, streamPages + "0", valuePages + "0"}, slices.Collect(maps.Keys(l.state.Dirty())))
}

func TestWhatIsNoMoreIsRemovedFromTheStorage(t *testing.T) {
	l := newLab(t)
	l.add(everything(1)...)
	l.flush(10)
	l.flush(4000)
	l.flush(10)
	for name, page := range l.stored {
		if name != headPage && name != sentPage {
			assert.Nil(t, page, name)
		}
	}
	l.restart()
	l.add(everything(5000)...)
	assert.Equal(t, 13, l.state.Stats().Streams)
}

func TestAnotherFormatOrOtherSettingsAreAnError(t *testing.T) {
	l := newLab(t)
	l.add(everything(1)...)
	l.flush(10)
	settings := testSettings()
	settings.AlsoFolded = nil
	assert.ErrorIs(t, New(settings, epoch).Load(l.stored, epoch), errSettings)
	pages := maps.Clone(l.stored)
	pages[headPage] = append([]byte{99}, pages[headPage][1:]...)
	assert.ErrorIs(t, New(testSettings(), epoch).Load(pages, epoch), errVersion)
	delete(pages, headPage)
	assert.ErrorContains(t, New(testSettings(), epoch).Load(pages, epoch), "head")
}

func TestEndsThatWereNotSentAreStoredAsTheyWere(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.MinStay, s.Budgets = 0, map[string]int{"pro": 1} })
	l.add(hit("a", "pro", 5, 1), hit("b", "pro", 5, 100))
	l.output = l.state.Flush(epoch.Add(10 * time.Second))
	ended, begun := l.samples("hits{pro,a}"), l.samples("hits{pro,_other}")
	maps.Copy(l.stored, l.state.Dirty())
	l.now = 12
	l.restart()
	l.flush(3)
	assert.Equal(t, ended, l.samples("hits{pro,a}"))
	assert.Equal(t, begun[0], l.samples("hits{pro,_other}")[0])

	l.restart()
	l.flush(10)
	assert.Empty(t, l.samples("hits{pro,a}"), "they were")
	assert.Len(t, l.samples("hits{pro,_other}"), 1)
}

func TestEndsThatWouldBeRefusedAreNotSent(t *testing.T) {
	l := newLab(t, func(s *Settings) { s.MinStay, s.Budgets = 0, map[string]int{"pro": 1} })
	l.add(hit("a", "pro", 5, 1), hit("b", "pro", 5, 100))
	l.state.Flush(epoch.Add(10 * time.Second))
	maps.Copy(l.stored, l.state.Dirty())
	l.now = 4000
	l.restart()
	l.flush(10)
	assert.Empty(t, l.samples("hits{pro,a}"))
	assert.Equal(t, uint64(1), l.state.Stats().Untold)
}

// pages returns the stored pages of everything, with an end that was not sent.
func storedPages(t *testing.T) map[string][]byte {
	l := newLab(t, func(s *Settings) { s.MinStay = 0 })
	l.add(everything(1)...)
	l.state.Flush(epoch.Add(10 * time.Second))
	pages := l.state.Dirty()
	require.NotEmpty(t, l.state.ended)
	return pages
}

// FuzzLoad changes a byte of a page, or cuts it: that is an error, or another State, but no panic.
func FuzzLoad(f *testing.F) {
	f.Add(uint(0), uint(0), byte(0))
	f.Fuzz(func(t *testing.T, page, place uint, change byte) {
		pages := storedPages(t)
		loadChanged(pages, page, place, change)
	})
}

func loadChanged(pages map[string][]byte, page, place uint, change byte) {
	names := slices.Sorted(maps.Keys(pages))
	name := names[page%uint(len(names))]
	data := slices.Clone(pages[name])
	if len(data) == 0 {
		return
	}
	place %= uint(len(data))
	if data[place] ^= change; change == 0 {
		data = data[:place]
	}
	pages[name] = data
	s := New(testSettings(), epoch)
	if s.Load(pages, epoch.Add(10*time.Second)) != nil {
		return
	}
	l := &lab{state: s, now: 10, stored: map[string][]byte{}}
	l.add(everything(20)...)
	l.flush(10)
	l.flush(4000)
}

func TestACorruptPageIsNoPanic(t *testing.T) {
	pages := storedPages(t)
	for page := range uint(len(pages)) {
		for place := range uint(400) {
			loadChanged(maps.Clone(pages), page, place*5, []byte{0, 1, 0x80, 0xff}[place%4])
		}
	}
	for _, name := range []string{"streams/x", "streams/-1", "streams/99999999"} {
		pages := maps.Clone(pages)
		pages[name] = []byte{1}
		assert.ErrorContains(t, New(testSettings(), epoch).Load(pages, epoch), strings.Split(name, "/")[0])
	}
}

package core

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

// TestATableIsAMap does to a table what it does to a map. Few identities, of few lower bits, meet often.
func TestATableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var streams table[stream, *stream]
		want := map[Identity]uint32{}
		identity := rapid.Custom(func(t *rapid.T) Identity {
			return Identity(rapid.Uint64Range(0, 3).Draw(t, "upper")<<32 | rapid.Uint64Range(1, 40).Draw(t, "lower"))
		})
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			id := identity.Draw(t, "identity")
			assert.Equal(t, want[id], streams.find(id))
			if number, has := want[id]; has {
				streams.remove(number)
				delete(want, id)
				continue
			}
			number, st := streams.take()
			st.identity = id
			streams.enter(number)
			want[id] = number
		}
		for id, number := range want {
			assert.Equal(t, number, streams.find(id))
		}
		assert.Equal(t, len(want), streams.used)
	})
}

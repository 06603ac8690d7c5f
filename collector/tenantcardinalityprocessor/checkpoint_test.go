package tenantcardinalityprocessor

import (
	"context"
	"maps"
	"testing"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"pgregory.net/rapid"
)

var (
	storageID   = component.MustNewID("file_storage")
	processorID = component.NewID(componentType)
)

// host is a collector that has extensions.
type host map[component.ID]component.Component

func (h host) GetExtensions() map[component.ID]component.Component { return h }

// fileStorage starts a real file_storage extension on a directory.
func fileStorage(t require.TestingT, directory string) host {
	factory := filestorage.NewFactory()
	config := factory.CreateDefaultConfig().(*filestorage.Config)
	config.Directory = directory
	config.FSync = false
	config.Compaction.Directory = directory
	extension, err := factory.Create(context.Background(), extensiontest.NewNopSettings(factory.Type()), config)
	require.NoError(t, err)
	require.NoError(t, extension.Start(context.Background(), nil))
	return host{storageID: extension}
}

func opened(t require.TestingT, h host) *checkpoint {
	c, err := openCheckpoint(context.Background(), h, processorID, &storageID)
	require.NoError(t, err)
	return c
}

func TestPagesComeBackAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h, want := fileStorage(rt, t.TempDir()), map[string][]byte{}
		c := opened(rt, h)
		for range rapid.IntRange(0, 8).Draw(rt, "saves") {
			pages := rapid.MapOf(rapid.StringN(0, 3, -1), rapid.SliceOfN(rapid.Byte(), 0, 20)).Draw(rt, "pages")
			for name := range want {
				if rapid.IntRange(0, 3).Draw(rt, "remove") == 0 {
					pages[name] = nil
				}
			}
			_, err := c.save(context.Background(), pages)
			require.NoError(rt, err)
			maps.Copy(want, pages)
			maps.DeleteFunc(want, func(_ string, page []byte) bool { return page == nil })
			if rapid.Bool().Draw(rt, "restart") {
				require.NoError(rt, c.close(context.Background()))
				c = opened(rt, h)
				got, err := c.load(context.Background())
				require.NoError(rt, err)
				require.Equal(rt, len(want), len(got))
				for name, page := range want {
					require.Equal(rt, string(page), string(got[name]))
				}
			}
		}
		require.NoError(rt, c.close(context.Background()))
	})
}

func TestAnEmptyStorageIsNoError(t *testing.T) {
	c := opened(t, fileStorage(t, t.TempDir()))
	pages, err := c.load(t.Context())
	assert.NoError(t, err)
	assert.Nil(t, pages)
	assert.NoError(t, c.close(t.Context()))
}

func TestWhatIsNoStateOfOursIsToldAndForgotten(t *testing.T) {
	for name, spoil := range map[string]func(storage.Client) error{
		"page \"a\" is corrupt: wrong checksum": func(c storage.Client) error { return c.Set(t.Context(), "page/a", []byte("12345")) },
		"page \"a\" is missing or cut off":      func(c storage.Client) error { return c.Delete(t.Context(), "page/a") },
		"its manifest is corrupt: wrong checksum": func(c storage.Client) error {
			return c.Set(t.Context(), "manifest", append([]byte("tenant_cardinality\x01"), 1, 2, 3, 4))
		},
		"it has layout version 9, this processor reads 1": func(c storage.Client) error {
			return c.Set(t.Context(), "manifest", []byte("tenant_cardinality\x09    "))
		},
		"its manifest is not one of tenant_cardinality's": func(c storage.Client) error { return c.Set(t.Context(), "manifest", []byte("{}")) },
	} {
		c := opened(t, fileStorage(t, t.TempDir()))
		_, err := c.save(t.Context(), map[string][]byte{"a": []byte("x"), "b": []byte("y")})
		require.NoError(t, err)
		require.NoError(t, spoil(c.client))
		_, err = c.load(t.Context())
		assert.ErrorIs(t, err, errUnusable)
		assert.ErrorContains(t, err, name)

		require.NoError(t, c.clear(t.Context()))
		pages, err := c.load(t.Context())
		assert.NoError(t, err)
		assert.Nil(t, pages)
		left, err := c.client.Get(t.Context(), "page/b")
		assert.NoError(t, err)
		assert.Nil(t, left, "a page that no manifest names is left behind")
		assert.NoError(t, c.close(t.Context()))
	}
}

// TestABatchThatFailedGoesIntoTheNext closes the storage under the checkpoint, and opens it again.
func TestABatchThatFailedGoesIntoTheNext(t *testing.T) {
	h := fileStorage(t, t.TempDir())
	c := opened(t, h)
	_, err := c.save(t.Context(), map[string][]byte{"a": []byte("1"), "b": []byte("1")})
	require.NoError(t, err)
	require.NoError(t, c.close(t.Context()))
	_, err = c.save(t.Context(), map[string][]byte{"a": []byte("2"), "b": nil})
	require.Error(t, err)

	c.client = opened(t, h).client
	_, err = c.save(t.Context(), map[string][]byte{"c": []byte("3")})
	require.NoError(t, err)
	pages, err := c.load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, map[string][]byte{"a": []byte("2"), "c": []byte("3")}, pages)
	assert.NoError(t, c.close(t.Context()))
}

func TestWithoutAStorageThereIsNoCheckpoint(t *testing.T) {
	c, err := openCheckpoint(t.Context(), host{}, processorID, nil)
	assert.NoError(t, err)
	assert.Nil(t, c)
}

func TestAStorageThatIsNoneIsAnErrorThatSaysWhatToDo(t *testing.T) {
	_, err := openCheckpoint(t.Context(), host{}, processorID, &storageID)
	assert.EqualError(t, err, "storage: file_storage: is no extension of service::extensions; add it there")
	_, err = openCheckpoint(t.Context(), host{storageID: component.Component(nil)}, processorID, &storageID)
	assert.EqualError(t, err, "storage: file_storage: stores nothing; name a storage extension, like file_storage")
}

func FuzzManifest(f *testing.F) {
	f.Add(encodeManifest([]string{"a", "bc"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if names, err := decodeManifest(data); err != nil {
			assert.ErrorIs(t, err, errUnusable)
		} else {
			assert.Equal(t, data, encodeManifest(names))
		}
	})
}

package tenantcardinalityprocessor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// The state is stored as pages, each under a key of its own with a checksum in front, and one manifest that names them
// all: a storage client cannot be asked which keys it has. Pages and manifest are written in one batch, so that what is
// there is always the state of one moment.
const (
	manifestKey  = "manifest"
	pageKey      = "page/"
	manifestMark = "tenant_cardinality"
	// layoutVersion is of this file's encoding; the pages have one of their own.
	layoutVersion = 1
)

// errUnusable is a state that cannot be taken over: of another version, or corrupt.
var errUnusable = errors.New("the stored state cannot be used")

// checkpoint keeps the state's pages in a storage extension. It is not safe for concurrent use.
type checkpoint struct {
	client  storage.Client
	stored  map[string]struct{} // names of pages
	unsaved map[string][]byte   // of batches that failed: they go into the next one
}

// openCheckpoint returns nil if no storage extension is configured.
func openCheckpoint(ctx context.Context, host component.Host, id component.ID, storageID *component.ID) (*checkpoint, error) {
	if storageID == nil {
		return nil, nil
	}
	extension, found := host.GetExtensions()[*storageID]
	if !found {
		return nil, fmt.Errorf("storage: %s: is no extension of service::extensions; add it there", storageID)
	}
	store, can := extension.(storage.Extension)
	if !can {
		return nil, fmt.Errorf("storage: %s: stores nothing; name a storage extension, like file_storage", storageID)
	}
	client, err := store.GetClient(ctx, component.KindProcessor, id, "")
	if err != nil {
		return nil, fmt.Errorf("storage: %s: %w", storageID, err)
	}
	return &checkpoint{client: client, stored: map[string]struct{}{}, unsaved: map[string][]byte{}}, nil
}

// load returns the pages, none if nothing was ever stored. The error is errUnusable if what is there is no state of ours.
func (c *checkpoint) load(ctx context.Context) (map[string][]byte, error) {
	manifest, err := c.client.Get(ctx, manifestKey)
	if err != nil || manifest == nil {
		return nil, err
	}
	names, err := decodeManifest(manifest)
	if err != nil {
		return nil, err
	}
	operations := make([]*storage.Operation, len(names))
	for i, name := range names {
		operations[i] = storage.GetOperation(pageKey + name)
	}
	if err := c.client.Batch(ctx, operations...); err != nil {
		return nil, err
	}
	pages := make(map[string][]byte, len(names))
	for i, name := range names {
		if pages[name], err = decodePage(name, operations[i].Value); err != nil {
			return nil, err
		}
		c.stored[name] = struct{}{}
	}
	return pages, nil
}

// save writes pages and removes those that are nil, all or nothing, and returns how many bytes it wrote. What failed is
// tried again with the next ones.
func (c *checkpoint) save(ctx context.Context, pages map[string][]byte) (int, error) {
	maps.Copy(c.unsaved, pages)
	if len(c.unsaved) == 0 {
		return 0, nil
	}
	stored, written := maps.Clone(c.stored), 0
	operations := make([]*storage.Operation, 0, len(c.unsaved)+1)
	for name, page := range c.unsaved {
		if page == nil {
			delete(stored, name)
			operations = append(operations, storage.DeleteOperation(pageKey+name))
			continue
		}
		stored[name] = struct{}{}
		value := encodePage(name, page)
		written += len(value)
		operations = append(operations, storage.SetOperation(pageKey+name, value))
	}
	if len(c.stored) == 0 || !maps.Equal(stored, c.stored) {
		manifest := encodeManifest(slices.Sorted(maps.Keys(stored)))
		written += len(manifest)
		operations = append(operations, storage.SetOperation(manifestKey, manifest))
	}
	if err := c.client.Batch(ctx, operations...); err != nil {
		return 0, err
	}
	c.stored, c.unsaved = stored, map[string][]byte{}
	return written, nil
}

// clear forgets all that is stored, as far as the client can say what that is.
func (c *checkpoint) clear(ctx context.Context) error {
	c.stored = map[string]struct{}{}
	walker, can := c.client.(storage.Walker)
	if !can {
		return c.client.Delete(ctx, manifestKey)
	}
	return walker.Walk(ctx, func(key string, _ []byte) ([]*storage.Operation, error) {
		return []*storage.Operation{storage.DeleteOperation(key)}, nil
	})
}

func (c *checkpoint) close(ctx context.Context) error { return c.client.Close(ctx) }

func checksum(parts ...[]byte) uint32 {
	sum := uint32(0)
	for _, part := range parts {
		sum = crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), part)
	}
	return sum
}

func encodePage(name string, page []byte) []byte {
	value := make([]byte, 4, 4+len(page))
	binary.LittleEndian.PutUint32(value, checksum([]byte(name), page))
	return append(value, page...)
}

func decodePage(name string, value []byte) ([]byte, error) {
	if len(value) < 4 {
		return nil, fmt.Errorf("%w: page %q is missing or cut off", errUnusable, name)
	}
	page := value[4:]
	if binary.LittleEndian.Uint32(value) != checksum([]byte(name), page) {
		return nil, fmt.Errorf("%w: page %q is corrupt: wrong checksum", errUnusable, name)
	}
	return page, nil
}

// encodeManifest writes the mark, the layout's version, each name with its length in front, and a checksum of it all.
func encodeManifest(names []string) []byte {
	value := append([]byte(manifestMark), layoutVersion)
	for _, name := range names {
		value = binary.AppendUvarint(value, uint64(len(name)))
		value = append(value, name...)
	}
	return binary.LittleEndian.AppendUint32(value, checksum(value))
}

func decodeManifest(value []byte) ([]string, error) {
	rest, ours := bytes.CutPrefix(value, []byte(manifestMark))
	if !ours || len(rest) < 5 {
		return nil, fmt.Errorf("%w: its manifest is not one of tenant_cardinality's", errUnusable)
	}
	if version := rest[0]; version != layoutVersion {
		return nil, fmt.Errorf("%w: it has layout version %d, this processor reads %d", errUnusable, version, layoutVersion)
	}
	end := len(value) - 4
	if binary.LittleEndian.Uint32(value[end:]) != checksum(value[:end]) {
		return nil, fmt.Errorf("%w: its manifest is corrupt: wrong checksum", errUnusable)
	}
	var names []string
	for rest = rest[1 : len(rest)-4]; len(rest) > 0; {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return nil, fmt.Errorf("%w: its manifest is corrupt: a name is cut off", errUnusable)
		}
		names = append(names, string(rest[n:n+int(length)]))
		rest = rest[n+int(length):]
	}
	return names, nil
}

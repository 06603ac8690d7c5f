package tenantcardinalityprocessor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// TestWithoutAStorageWhatIsOlderBeginsAtABaseline sends sums of a process that was there before, and of one that was not.
func TestWithoutAStorageWhatIsOlderBeginsAtABaseline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, sink := started(t, defaults())
		time.Sleep(time.Second)
		before, began := time.Now().Add(-time.Hour), time.Now()
		for _, older := range []int64{100, 107} {
			time.Sleep(time.Second)
			request := pmetric.NewMetrics()
			hit(request, "older", older, before, time.Now())
			hit(request, "newer", older-90, began, time.Now())
			request.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Sum().SetAggregationTemporality(
				pmetric.AggregationTemporalityCumulative)
			require.NoError(t, p.ConsumeMetrics(t.Context(), request))
		}
		require.NoError(t, p.Shutdown(t.Context()))
		assert.EqualValues(t, 7, lastValue(sink, "tenant.limit.hits", "older"))
		assert.EqualValues(t, 17, lastValue(sink, "tenant.limit.hits", "newer"))
	})
}

// TestACorruptStateBeginsAnew with a warning, and does not count old streams in full.
func TestACorruptStateBeginsAnew(t *testing.T) {
	for name, spoil := range map[string]map[string][]byte{
		"another version": {manifestKey: []byte(manifestMark + "\x09    ")},
		"a page":          {pageKey + "head": []byte("no checksum")},
	} {
		synctest.Test(t, func(t *testing.T) {
			sink := new(consumertest.MetricsSink)
			c := &collector{config: defaults(), directory: t.TempDir(), next: sink}
			c.config.Storage = &storageID
			began := time.Now()
			for _, value := range []int64{100, 107, 109} {
				c.up()
				request := pmetric.NewMetrics()
				hit(request, "a", value, began, time.Now())
				request.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Sum().SetAggregationTemporality(
					pmetric.AggregationTemporalityCumulative)
				c.check(c.consume(request))
				c.down()
				if value == 100 {
					c.spoil(spoil)
				}
			}
			require.NoError(t, errors.Join(c.errs...))
			assert.EqualValues(t, 2, lastValue(sink, "tenant.limit.hits", "a"), name)
		})
	}
}

// TestWithoutItsStorageForTheMomentItGoesOn closes the storage under it.
func TestWithoutItsStorageForTheMomentItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := new(consumertest.MetricsSink)
		c := &collector{config: defaults(), directory: t.TempDir(), next: sink}
		c.config.Storage = &storageID
		c.up()
		require.NoError(t, c.processor.(*metricsProcessor).checkpoint.close(t.Context()))
		request := pmetric.NewMetrics()
		hit(request, "a", 3, time.Now().Add(-time.Second), time.Now())
		require.NoError(t, c.consume(request))
		time.Sleep(c.config.Interval)
		synctest.Wait()
		assert.EqualValues(t, 3, lastValue(sink, "tenant.limit.hits", "a"))
		failed, err := c.telemetry.GetMetric(metricPrefix + "failed_checkpoints")
		require.NoError(t, err)
		assert.Positive(t, failed.Data.(metricdata.Sum[int64]).DataPoints[0].Value)
		c.down()
		require.NoError(t, errors.Join(c.errs...))
	})
}

// spoil writes into the storage of a collector that is down.
func (c *collector) spoil(pages map[string][]byte) {
	stopped := fileStorage(c, c.path())
	client := opened(c, stopped).client
	for key, value := range pages {
		c.check(client.Set(context.Background(), key, value))
	}
	c.check(client.Close(context.Background()))
	c.check(stopped[storageID].Shutdown(context.Background()))
}

// SPDX-License-Identifier: MIT

package main

import (
	"math/rand"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

var sink [64 * 8]float64

// runLatency measures how long a goroutine that could run waits until it does, while twice as many
// as there are processors compute. Goroutines have no priorities, and there is no foreign thread
// that could wake one.
func runLatency(o options) error {
	busy, count := 2*runtime.GOMAXPROCS(0), o["iterations"]
	gap := func() time.Duration {
		return time.Duration(o["gap-us"]*500+rand.Intn(o["gap-us"]*1000)) * time.Nanosecond
	}
	var stop, running int32
	var postAt, posted int64 // nanoseconds since begin; postAt -1: never
	var done sync.WaitGroup
	wanted := make(chan struct{}, 1)
	begin := time.Now()
	atomic.StoreInt64(&postAt, -1)
	done.Add(busy)
	for i := 0; i < busy; i++ {
		go func(i int) {
			x := 1.0
			atomic.AddInt32(&running, 1)
			for atomic.LoadInt32(&stop) == 0 {
				for k := 0; k < 200; k++ {
					x = x*0.999 + 0.001
				}
				at := atomic.LoadInt64(&postAt)
				if at >= 0 && int64(time.Since(begin)) >= at &&
					atomic.CompareAndSwapInt64(&postAt, at, -1) {
					atomic.StoreInt64(&posted, int64(time.Since(begin)))
					wanted <- struct{}{}
				}
			}
			sink[i%64*8] = x
			done.Done()
		}(i)
	}
	for atomic.LoadInt32(&running) < int32(busy) {
		time.Sleep(time.Millisecond)
	}
	delays := make([]float64, count)
	for i := range delays {
		pause := gap()
		deadline := time.Now().Add(pause)
		time.Sleep(pause)
		delays[i] = float64(time.Since(deadline)) / 1e3
	}
	sample("sleeper_p50_us", "us", quantile(delays, 0.5))
	sample("sleeper_p99_us", "us", quantile(delays, 0.99))
	for i := range delays {
		atomic.StoreInt64(&postAt, int64(time.Since(begin)+gap()))
		<-wanted
		delays[i] = float64(int64(time.Since(begin))-atomic.LoadInt64(&posted)) / 1e3
	}
	sample("thread_p50_us", "us", quantile(delays, 0.5))
	sample("thread_p99_us", "us", quantile(delays, 0.99))
	atomic.StoreInt32(&stop, 1)
	done.Wait()
	return nil
}

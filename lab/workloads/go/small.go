// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// yielder counts the yields of one goroutine after which another had run.
type yielder struct {
	begin, end time.Time
	switches   int
	_          [64]byte
}

// runSwitch times goroutines that do nothing but yield. With one worker, only yields after which
// somebody else had run meanwhile count as switches.
func runSwitch(o options) error {
	useWorkers(o)
	count, look := o["threads"], o["workers"] == 1 && o["threads"] > 1
	all := make([]yielder, count)
	var last int32
	round := func(yields int) (float64, int) {
		var done sync.WaitGroup
		gate := make(chan struct{})
		for i := range all {
			done.Add(1)
			go func(me int32) {
				y := &all[me]
				<-gate
				y.begin, y.switches = time.Now(), 0
				for n := yields / count; n > 0; n-- {
					if look {
						atomic.StoreInt32(&last, me)
						runtime.Gosched()
						if atomic.LoadInt32(&last) != me {
							y.switches++
						}
					} else {
						runtime.Gosched()
						y.switches++
					}
				}
				y.end = time.Now()
				done.Done()
			}(int32(i))
		}
		close(gate)
		done.Wait()
		begin, end, switches := all[0].begin, all[0].end, 0
		for _, y := range all {
			if y.begin.Before(begin) {
				begin = y.begin
			}
			if y.end.After(end) {
				end = y.end
			}
			switches += y.switches
		}
		return float64(end.Sub(begin)), switches
	}
	atOnce := o["workers"]
	if count < atOnce {
		atOnce = count
	}
	yields := o["iterations"]
	round(yields/10 + count)
	for i := 0; i < o["samples"]; i++ {
		ns, switches := round(yields)
		if switches == 0 || switches < yields/count {
			return fmt.Errorf("%d yields made only %d switches", yields, switches)
		}
		sample("yield_ns", "ns", ns/float64(switches)*float64(atOnce))
	}
	return nil
}

// runSpawn times goroutines that do next to nothing, one at a time and in batches.
func runSpawn(o options) error {
	useWorkers(o)
	count, n := o["count"], o["iterations"]
	ran := make([]uint32, count)
	countMe := func(cell *uint32, done *sync.WaitGroup) {
		*cell++
		done.Done()
	}
	batches := func(count, n int) (float64, error) {
		var done sync.WaitGroup
		for i := range ran {
			ran[i] = 0
		}
		rounds := n / count
		if rounds == 0 {
			rounds = 1
		}
		begin := time.Now()
		for r := 0; r < rounds; r++ {
			done.Add(count)
			for i := 0; i < count; i++ {
				go countMe(&ran[i], &done)
			}
			done.Wait()
		}
		ns, sum := float64(time.Since(begin)), 0
		for _, cell := range ran {
			sum += int(cell)
		}
		if sum != rounds*count {
			return 0, fmt.Errorf("%d of %d goroutines ran", sum, rounds*count)
		}
		return ns / float64(rounds*count), nil
	}
	for i := 0; i <= o["samples"]; i++ {
		n := n
		if i == 0 { // warms up
			n = n/10 + 1
		}
		single, err := batches(1, n)
		if err != nil {
			return err
		}
		batch, err := batches(count, n)
		if err != nil {
			return err
		}
		if i > 0 {
			sample("single_ns", "ns", single)
			sample("batch_ns", "ns", batch)
		}
	}
	return nil
}

// runLifecycle times many goroutines that sleep a moment. Their first instructions are timed in
// rounds of their own.
func runLifecycle(o options) error {
	useWorkers(o)
	count := o["threads"]
	sleep := time.Duration(o["sleep-us"]) * time.Microsecond
	called, first := make([]time.Time, count), make([]time.Time, count)
	live := func(look bool) (start, join time.Duration, ran int64) {
		var done sync.WaitGroup
		done.Add(count)
		begin := time.Now()
		for i := 0; i < count; i++ {
			if look {
				called[i] = time.Now()
			}
			go func(i int) {
				if look {
					first[i] = time.Now()
				}
				time.Sleep(sleep)
				atomic.AddInt64(&ran, 1)
				done.Done()
			}(i)
		}
		middle := time.Now()
		done.Wait()
		return middle.Sub(begin), time.Since(middle), ran
	}
	live(false)
	for s := 0; s < o["samples"]; s++ {
		before := usage()
		start, join, ran := live(false)
		after := usage()
		if ran != int64(count) {
			return fmt.Errorf("%d of %d goroutines ran", ran, count)
		}
		switches := after.Nvcsw + after.Nivcsw - before.Nvcsw - before.Nivcsw
		sample("start_ms", "ms", milliseconds(start))
		sample("join_ms", "ms", milliseconds(join))
		sample("total_ms", "ms", milliseconds(start+join))
		sample("switches_per_thread", "count", float64(switches)/float64(count))
		live(true)
		delays := make([]float64, count)
		for i := range delays {
			delays[i] = milliseconds(first[i].Sub(called[i]))
		}
		sample("first_ms", "ms", median(delays))
	}
	return nil
}

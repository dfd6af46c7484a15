// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// memory gives what is resident and the most that was so far, both with page tables.
func memory() (resident, peak float64) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib float64
		name := strings.SplitN(lines.Text(), ":", 2)
		if len(name) < 2 {
			continue
		}
		fmt.Sscanf(name[1], "%g kB", &kib)
		switch name[0] {
		case "VmRSS":
			resident += kib * 1024
		case "VmHWM":
			peak += kib * 1024
		case "VmPTE":
			resident += kib * 1024
			peak += kib * 1024
		}
	}
	return resident, peak
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// runSleepers times very many goroutines that sleep, as ../../sleepers.c has it.
func runSleepers(o options) error {
	count := o["threads"]
	late := make([]float64, count)
	for i := range late {
		late[i] = -1
	}
	var done sync.WaitGroup
	var asleep, most int64
	before, _ := memory()
	begin := time.Now()
	lead, span := time.Duration(o["lead-ms"])*time.Millisecond, uint64(o["span-ms"])*1000000
	done.Add(count)
	for i := 0; i < count; i++ {
		go func(i int) {
			from := time.Now()
			if lead > 0 {
				from = begin.Add(lead)
			}
			deadline := from.Add(time.Duration(mix(uint64(i)) % span))
			now := atomic.AddInt64(&asleep, 1)
			if now > atomic.LoadInt64(&most) {
				atomic.StoreInt64(&most, now)
			}
			time.Sleep(time.Until(deadline))
			late[i] = float64(time.Since(deadline)) / 1e3
			atomic.AddInt64(&asleep, -1)
			done.Done()
		}(i)
	}
	start := time.Since(begin)
	done.Wait()
	total := time.Since(begin)
	_, peak := memory()
	p50 := quantile(late, 0.5)
	if late[0] < 0 {
		return fmt.Errorf("a goroutine woke early")
	}
	sample("start_ms", "ms", float64(start)/1e6)
	sample("total_ms", "ms", float64(total)/1e6)
	sample("most_asleep", "count", float64(most))
	sample("late_p50_us", "us", p50)
	sample("late_p99_us", "us", quantile(late, 0.99))
	sample("late_most_us", "us", late[count-1])
	sample("bytes_per_thread", "bytes", (peak-before)/float64(count))
	return nil
}

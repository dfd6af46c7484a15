// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// memory gives the resident bytes with page tables, and the address space.
func memory() (resident, address float64) {
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
		case "VmRSS", "VmPTE":
			resident += kib * 1024
		case "VmSize":
			address = kib * 1024
		}
	}
	return resident, address
}

// blocked starts goroutines that wait at a gate, and returns when all are there.
func blocked(count int) (gate chan struct{}, done *sync.WaitGroup, left *int64) {
	gate, done, left = make(chan struct{}), new(sync.WaitGroup), new(int64)
	here := make(chan struct{})
	var arrived int64
	done.Add(count)
	for i := 0; i < count; i++ {
		go func() {
			if atomic.AddInt64(&arrived, 1) == int64(count) {
				close(here)
			}
			<-gate
			atomic.AddInt64(left, 1)
			done.Done()
		}()
	}
	<-here
	return gate, done, left
}

// touchPages maps, touches and unmaps fresh pages.
func touchPages(count int) (time.Duration, error) {
	page := os.Getpagesize()
	begin := time.Now()
	bytes, err := syscall.Mmap(-1, 0, count*page, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		return 0, err
	}
	syscall.Madvise(bytes, syscall.MADV_NOHUGEPAGE)
	for at := 0; at < len(bytes); at += page {
		bytes[at] = 1
	}
	err = syscall.Munmap(bytes)
	return time.Since(begin), err
}

// runCapacity times very many goroutines that all wait at once. One round a process, whatever
// --samples says: the runtime keeps what it has, so a second round would not begin anew.
func runCapacity(o options) error {
	useWorkers(o)
	count := o["threads"]
	touchPages(count)
	resident, address := memory()
	begin := time.Now()
	gate, done, left := blocked(count)
	start := time.Since(begin)
	residentNow, addressNow := memory()
	begin = time.Now()
	close(gate)
	done.Wait()
	release := time.Since(begin)
	if *left != int64(count) {
		return fmt.Errorf("%d of %d goroutines went through the gate", *left, count)
	}
	floor, err := touchPages(count)
	if err != nil {
		return err
	}
	sample("start_ms", "ms", milliseconds(start))
	sample("release_ms", "ms", milliseconds(release))
	sample("total_ms", "ms", milliseconds(start+release))
	sample("bytes_per_thread", "bytes", each(residentNow-resident, count))
	sample("address_bytes_per_thread", "bytes", each(addressNow-address, count))
	sample("ok_threads", "count", float64(*left))
	sample("page_floor_ms", "ms", milliseconds(floor))
	sample("page_floor_ratio", "ratio", float64(start+release)/float64(floor))
	return nil
}

// each shares an amount out.
func each(amount float64, count int) float64 {
	if amount < 0 {
		return 0
	}
	return amount / float64(count)
}

func fib(n int) int {
	if n < 2 {
		return n
	}
	var child int
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		child = fib(n - 1)
		done.Done()
	}()
	other := fib(n - 2)
	done.Wait()
	return child + other
}

const branches = 10

func skynet(first, leaves int) int {
	if leaves == 1 {
		return first
	}
	var results [branches]int
	var done sync.WaitGroup
	done.Add(branches)
	for i := 0; i < branches; i++ {
		go func(i int) {
			results[i] = skynet(first+i*(leaves/branches), leaves/branches)
			done.Done()
		}(i)
	}
	done.Wait()
	sum := 0
	for _, result := range results {
		sum += result
	}
	return sum
}

// runForkjoin times work that splits into a goroutine per call: the trees of the C program.
func runForkjoin(o options) error {
	useWorkers(o)
	metric, n, leaves := "fib_ms", o["n"], o["leaves"]
	work, expected := func() int { return fib(n) }, 0
	if o["work"] == 0 {
		for i, next := 0, 1; i < n; i++ {
			expected, next = next, expected+next
		}
	} else {
		rest := leaves
		for rest%branches == 0 {
			rest /= branches
		}
		if rest != 1 {
			return fmt.Errorf("skynet needs a power of ten as its number of leaves")
		}
		metric, expected = "skynet_ms", leaves*(leaves-1)/2
		work = func() int { return skynet(0, leaves) }
	}
	for i := 0; i <= o["samples"]; i++ {
		begin := time.Now()
		result := work()
		took := time.Since(begin)
		if result != expected {
			return fmt.Errorf("wrong result: %d instead of %d", result, expected)
		}
		if i > 0 { // the first round warms up
			sample(metric, "ms", milliseconds(took))
		}
	}
	return nil
}

// runIdle measures the CPU time that passes while all goroutines wait.
func runIdle(o options) error {
	useWorkers(o)
	gate, done, _ := blocked(o["threads"])
	time.Sleep(50 * time.Millisecond)
	cpu := func() time.Duration {
		r := usage()
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	for i := 0; i < o["samples"]; i++ {
		used, begin := cpu(), time.Now()
		time.Sleep(time.Duration(o["seconds"]) * time.Second)
		share := float64(cpu()-used) / float64(time.Since(begin))
		sample("idle_cpu_percent", "percent", 100*share)
	}
	close(gate)
	done.Wait()
	return nil
}

// SPDX-License-Identifier: MIT

// What goroutines cost: the workloads that the lab runs where Go is installed. The command line
// and the output are those of the bench programs:
//
//	PROGRAM EXPERIMENT [--NAME VALUE]...
//	PROGRAM list
//
//	sample METRIC UNIT VALUE
//	note KEY TEXT
//	error TEXT
//
// The work is the same as in the C programs of the same names, by the means that Go has: a
// WaitGroup joins, closing a channel opens a gate. There is no `wake`: a goroutine cannot be told
// on which processor to run, and two of them on one would measure a switch.
package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"sort"
	"strconv"
	"syscall"
	"time"
)

type options map[string]int

type experiment struct {
	run      func(options) error
	defaults options
}

var experiments = map[string]experiment{
	"switch": {runSwitch, options{"workers": 1, "threads": 2, "iterations": 2000000,
		"stack-size": 0, "samples": 5}},
	"spawn": {runSpawn, options{"workers": 1, "count": 1000, "iterations": 1000000,
		"stack-size": 0, "samples": 5}},
	"lifecycle": {runLifecycle, options{"threads": 1000, "stack-size": 0, "sleep-us": 1000,
		"workers": 0, "samples": 5}},
	"capacity": {runCapacity, options{"threads": 100000, "stack-size": 0, "workers": 0,
		"samples": 1}},
	"forkjoin": {runForkjoin, options{"work": 0, "n": 32, "leaves": 1000000, "workers": 1,
		"stack-size": 0, "samples": 5}},
	"idle": {runIdle, options{"workers": 0, "threads": 1000, "seconds": 2, "stack-size": 0,
		"samples": 1}},
}

// The parameters that must not be 0.
var positive = []string{"threads", "count", "iterations", "samples", "seconds", "leaves"}

// The words that may stand for a parameter's numbers.
var words = map[string][]string{"work": {"fib", "skynet"}}

func sample(metric, unit string, value float64) {
	fmt.Printf("sample %s %s %.9g\n", metric, unit, value)
}

// useWorkers sets how many processors run goroutines; 0: all.
func useWorkers(o options) {
	if o["workers"] > 0 {
		runtime.GOMAXPROCS(o["workers"])
	}
}

func milliseconds(d time.Duration) float64 {
	return float64(d) / 1e6
}

func median(values []float64) float64 {
	sort.Float64s(values)
	at := float64(len(values)-1) / 2
	return (values[int(math.Floor(at))] + values[int(math.Ceil(at))]) / 2
}

func usage() syscall.Rusage {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return r
}

func fail(status int, format string, arguments ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(status)
}

func value(name, text string) int {
	for i, word := range words[name] {
		if word == text {
			return i
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || words[name] != nil {
		fail(2, "--%s: '%s' is no value for it", name, text)
	}
	return n
}

func names() []string {
	var all []string
	for name := range experiments {
		all = append(all, name)
	}
	sort.Strings(all)
	return all
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "list" {
		for _, name := range names() {
			fmt.Println(name)
		}
		return
	}
	if len(os.Args) < 2 {
		fail(2, "usage: %s EXPERIMENT [--NAME VALUE]...\nexperiments: %v", os.Args[0],
			names())
	}
	e, known := experiments[os.Args[1]]
	if !known {
		fail(2, "unknown experiment '%s'; there are %v", os.Args[1], names())
	}
	for i := 2; i < len(os.Args); i += 2 {
		argument := os.Args[i]
		if len(argument) < 3 || argument[:2] != "--" {
			fail(2, "unknown option '%s'", argument)
		}
		if _, known := e.defaults[argument[2:]]; !known {
			fail(2, "unknown option '%s'", argument)
		}
		if i+1 == len(os.Args) {
			fail(2, "%s needs a value", argument)
		}
		e.defaults[argument[2:]] = value(argument[2:], os.Args[i+1])
	}
	for _, name := range positive {
		if n, has := e.defaults[name]; has && n == 0 {
			fail(2, "--%s must not be 0", name)
		}
	}
	if err := e.run(e.defaults); err != nil {
		fmt.Printf("error %s\n", err)
		os.Exit(3)
	}
}

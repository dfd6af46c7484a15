// SPDX-License-Identifier: MIT

// What Go does with the workloads that bench/bars measures beside heddle's:
//
//	PROGRAM echo [--port N] [--workers N]       a server; see ../../net
//	PROGRAM latency [--NAME VALUE]...           see ../../latency.c
//	PROGRAM sleepers [--NAME VALUE]...          see ../../sleepers.c
//
// The output is that of the bench programs: lines `sample METRIC UNIT VALUE`.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
)

type options map[string]int

func sample(metric, unit string, value float64) {
	fmt.Printf("sample %s %s %.9g\n", metric, unit, value)
}

// quantile sorts the values and gives the one below which `part` of them lie.
func quantile(values []float64, part float64) float64 {
	sort.Float64s(values)
	return values[int(part*float64(len(values)-1))]
}

func main() {
	experiments := map[string]struct {
		run      func(options) error
		defaults options
	}{
		"echo":    {runEcho, options{"port": 0, "workers": 0}},
		"latency": {runLatency, options{"workers": 0, "iterations": 200, "gap-us": 1500}},
		"sleepers": {runSleepers, options{"threads": 1000000, "span-ms": 2000, "lead-ms": 0,
			"workers": 0}},
	}
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: PROGRAM echo|latency|sleepers [--NAME VALUE]...")
		os.Exit(2)
	}
	e, known := experiments[os.Args[1]]
	if !known {
		fmt.Fprintln(os.Stderr, "unknown experiment", os.Args[1])
		os.Exit(2)
	}
	o := e.defaults
	for words := os.Args[2:]; len(words) > 0; words = words[2:] {
		n := 0
		err := fmt.Errorf("needs a value")
		if len(words) > 1 {
			n, err = strconv.Atoi(words[1])
		}
		name := ""
		if len(words[0]) > 2 {
			name = words[0][2:]
		}
		if _, known := o[name]; !known || err != nil {
			fmt.Fprintln(os.Stderr, words[0], "is unknown, or", err)
			os.Exit(2)
		}
		o[name] = n
	}
	if o["workers"] > 0 {
		runtime.GOMAXPROCS(o["workers"])
	}
	if err := e.run(o); err != nil {
		fmt.Println("error", err)
		os.Exit(3)
	}
}

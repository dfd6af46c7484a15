# SPDX-License-Identifier: MIT
# A short front to Meson and Ninja: tools/build sets up and builds, tests/run tests. Each target
# does its own set-up, missing packages included (tools/install-deps). `make help` lists them.

BUILD ?= build
PREFIX ?= /usr/local
LABFLAGS ?= --quick
MAKEFLAGS += --no-print-directory
export BUILD

.DEFAULT_GOAL := all
.PHONY: all lab check tsan asan hostile stress model bench bench-lab install uninstall peers
.PHONY: clean help

all: ## build the library, the command and its programs (release, into build/release)
	@tools/install-deps build lab
	@tools/build release

lab: all ## build, then the lab's quick tour: a table, and a report (LABFLAGS= for the long one)
	@rm -f $(BUILD)/report.html
	@$(BUILD)/release/lab/heddle lab --html $(BUILD)/report.html $(LABFLAGS); status=$$?; \
		[ ! -e $(BUILD)/report.html ] || \
			echo "The report with charts: $(abspath $(BUILD))/report.html"; \
		exit $$status
	@[ -z "$$(tools/install-deps --print peers)" ] || \
		echo "More to compare with: 'make peers' installs Boost.Fiber, oneTBB and Go."

check: ## build every variant and run all tests
	@tools/install-deps check
	@tests/run

tsan asan hostile: ## the tests in one build: ThreadSanitizer, AddressSanitizer, hostile scheduling
	@tools/install-deps check
	@tests/run --variant $@

stress: ## the stress tests, twenty times as long as in `make check`
	@tools/install-deps check
	@HEDDLE_TEST_SCALE=$${HEDDLE_TEST_SCALE:-20} tests/run --suite stress

model: ## the model checker's programs, with longer ones than in `make check`
	@tools/install-deps check
	@HEDDLE_MODEL_LONG=1 tests/run --variant release --suite model

bench: all ## the bars of this project, as ratios to what runs beside them
	@bench/bars $(BENCHFLAGS) $(BUILD)/release

bench-lab: all ## the bars of the lab: false alarms, planted differences, times
	@bench/lab-bars $(BENCHFLAGS) $(BUILD)/release

install: ## install into PREFIX (/usr/local): make install PREFIX=DIR
	@tools/install-deps build lab
	@PREFIX='$(abspath $(PREFIX))' tools/build release
	@mkdir -p '$(DESTDIR)$(abspath $(PREFIX))/lib' 2>/dev/null; \
		[ -w '$(DESTDIR)$(abspath $(PREFIX))/lib' ] || { echo "cannot write to" \
		"$(DESTDIR)$(abspath $(PREFIX)): sudo make install, or make install" \
		"PREFIX=\$$HOME/.local" >&2; exit 1; }
	@meson install --no-rebuild --quiet -C $(BUILD)/release
	@if [ "$$(id -u)" = 0 ] && [ -z "$(DESTDIR)" ]; then ldconfig; fi
	@echo "installed into $(DESTDIR)$(abspath $(PREFIX))"

uninstall: ## remove what `make install` put there
	@ninja --quiet -C $(BUILD)/release uninstall >/dev/null

peers: ## install what can be measured too: Boost.Fiber, oneTBB, Go, allocators, liburcu, libck
	@tools/install-deps peers
	@[ ! -d $(BUILD)/release ] || meson setup --reconfigure $(BUILD)/release >/dev/null

clean: ## remove build/
	@rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z][a-z ]*\):[^#]*## /\1|/p' Makefile | \
		awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

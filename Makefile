# demo, test, check and bench each make .venv and install what they need; a second call is quick.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS := embedded,dev
# What the wheel is built with: pinned for the image's build.
BUILD = $(shell sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml)
# Some tests wait for a time-out or a process: three at a time on two cores.
JOBS ?= $(shell echo $$(( ( $$(nproc) * 3 + 1 ) / 2 )))
# Several of these may run at once; the others start processes, and depend on time.
QUICK := not integration and not browser
# Single parts of the system, which mostly wait: two files at a time. Whole stacks run alone.
PARTS := $(addprefix tests/integration/,consumers embedded notifier producers simulator sink web) \
	$(addprefix tests/browser/,test_keyboard.py test_states.py test_views.py)
SEEDS ?= 0 1 2 3 4 5 6 7 8 9
# A comma within an argument of $(call …).
, := ,
# A pipe fails when any of its commands fails.
SHELL := bash
.SHELLFLAGS := -o pipefail -ec

# $(call pip_install,VENV,ARGUMENTS) shows one word for each package: pip's own lines are hundreds.
pip_install = @echo "installing into $(1), once; it takes a minute or two:"; \
	$(1)/bin/python -m pip --disable-pip-version-check install --progress-bar off $(2) | { \
	while read -r what name _; do case "$$what $$name" in \
	"Collecting "*) printf '%s ' "$${name%%[<>=!~;[]*}" ;; \
	"Installing collected") printf '\nunpacking ...' ;; \
	esac; done; echo; }

# Where Python keeps no bytecode, pytest rewrites every test file anew in each of its processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test coverage test-clients test-wheel check explore lint format bench constraints install reference clean help

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(call pip_install,$(VENV),-c constraints.txt -e '.[$(EXTRAS)]')
	@touch $@

# It wants a cryptography below 44, for signatures that public calls have none of: without its word.
BPX := bpx-py>=2.0.11,<3
# Its socket needs none of what its orders do: gRPC, the chain's messages, keys.
DYDX := dydx-v4-client>=1.1,<2
# The exchange's own, whose models hold the list to each field; it wants a urllib3 below 2.1, of which its public calls
# need nothing: without its word, but with the client that it retries with.
LIGHTER := lighter-sdk>=1.1,<2
LIGHTER_NEEDS := aiohttp-retry>=2.8,<3
# It is built from its source; 3 has nothing for Python 3.11.
CRYPTOFEED := cryptofeed>=2.4,<3

# Apart from the rest: these clients have dependencies of their own mind.
$(VENV)-clients/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)-clients
	$(call pip_install,$(VENV)-clients,-e '.[$(EXTRAS)$(,)clients$(,)fuzz]')
	$(call pip_install,$(VENV)-clients,--no-deps '$(BPX)' '$(DYDX)' '$(LIGHTER)')
	$(call pip_install,$(VENV)-clients,'$(LIGHTER_NEEDS)')
	$(call pip_install,$(VENV)-clients,'$(CRYPTOFEED)') || \
		echo "cryptofeed cannot be built here (has it a C compiler?): its test is skipped"
	@touch $@

install: $(VENV)/.installed ## the virtual environment, with everything to run and to test

demo: $(VENV)/.installed ## simulated exchanges, all the way to SQL and the page; begins anew (ARGS="--duration 40")
	$(BIN)/fundingstream up $(ARGS)

test: $(VENV)/.installed ## every test, the ones with real Kafka and ClickHouse included (ARGS="-k name")
ifeq ($(strip $(ARGS)),)
	$(BIN)/python -m pytest -q -n $(JOBS) -m "$(QUICK)"
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not ($(QUICK))" $(PARTS)
	$(BIN)/python -m pytest -m "not ($(QUICK))" --durations=15 $(addprefix --ignore=,$(PARTS))
else
	$(BIN)/python -m pytest $(ARGS)
endif

lint: $(VENV)/.installed ## format, lint, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint ## format, lint, types and the quick tests
	$(BIN)/python -m pytest -q -n $(JOBS) -m "$(QUICK)"

coverage: $(VENV)/.installed ## branch coverage of every test and the processes it starts (ARGS="-m 'not integration'")
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-clients: $(VENV)-clients/.installed ## foreign clients of the simulator and of ClickHouse, fuzzing by coverage
	$(VENV)-clients/bin/python -m pytest -q tests/fuzz tests/integration/*/test_*_clients.py

test-wheel: $(VENV)/.installed ## build the wheel, and use it as installed (a minute)
	.ci/wheel_smoke

explore: $(VENV)/.installed ## the property tests with other examples, by ten seeds (SEEDS="7 8")
	for seed in $(SEEDS); do \
		$(BIN)/python -m pytest -q -m hypothesis --hypothesis-profile=exploring \
			--hypothesis-seed=$$seed || exit 1; \
	done

reference: $(VENV)/.installed ## docs/reference.md anew, after a change of schemas, topics, tables or views
	$(BIN)/python -m infra.reference > docs/reference.md.new
	mv docs/reference.md.new docs/reference.md

format: $(VENV)/.installed ## rewrite the sources in the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# quixstreams cannot live beside our confluent-kafka; without it the benchmark says so and goes on.
.venv-bench/.installed: benchmarks/rivals/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip --disable-pip-version-check --quiet install -r $< && touch $@ \
		|| echo "quixstreams cannot be installed: the benchmark goes on without it"

bench: $(VENV)/.installed .venv-bench/.installed ## benchmarks beside other programs (ARGS="throughput --quick")
	$(BIN)/python -m benchmarks $(ARGS)

constraints: ## take the newest versions that the ranges allow into constraints.txt
	rm -rf .venv-constraints
	$(PYTHON) -m venv .venv-constraints
	$(call pip_install,.venv-constraints,'.[$(EXTRAS)]' '$(BUILD)')
	.venv-constraints/bin/python -m pip freeze --exclude fundingstream | grep -v ' @ ' > constraints.txt
	rm -rf .venv-constraints

clean: ## remove the virtual environment and what the tools cached
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

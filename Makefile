# The front door. Every target makes the environment it needs by itself; nothing has to be installed or activated first.
#
#   PYTHON=/path/to/python3   use this one       (default: python3 if it is usable, or else the newest of 3.11 to 3.15)
#   TIER=smoke|full           how far `make verify` goes
#   FAILFAST=0                `make verify` goes on after a failure (default: it tells the first one and stops)
#   STRICT=1                  `make verify` also fails when its verdict is INCOMPLETE
#   CLUSTER=tcp://…           `make fuzz` uses the workers of this Dask cluster
#   BUILD=pure|compiled       which build of the library test, test-compat, verify (smoke) and dist are about
#   QUICK=1 or FULL=1         how far `make bench` goes: below a minute, or up to a million jobs
#
#   Times are on two cores. The first target makes an environment in one to three minutes: 710 MB, those of compat,
#   docs and bench 160 to 220 MB each. `make distclean` removes them.

TIER ?= smoke
STRICT ?=
FAILFAST ?= 1
BUILD ?= pure
QUICK ?=
FULL ?=
CLUSTER ?=
ENV := PYTHON="$(PYTHON)" BUILD=pure sh .ci/env
# Where it makes a difference which build of the library is imported.
BUILT := PYTHON="$(PYTHON)" BUILD="$(BUILD)" sh .ci/env
# Set before the first import: coverage.py would miss lines that a plugin of pytest had imported already. Of what is
# compiled no line is seen.
COVERAGE := $(ENV) python -W error -m coverage
COUNTED := $(if $(filter compiled,$(BUILD)),,-m coverage run)
RESOLVE := $(ENV) uv pip compile --universal --python-version 3.11 --upgrade --generate-hashes --no-emit-index-url --no-annotate --quiet --custom-compile-command 'make lock' --output-file
# uv ends with 1 if there is no solution, and with another code if it could not ask.
UNRESOLVED := || sh .ci/whose $$? "LOCK: what is asked for can't be had together: see above." \
	"NETWORK: could not resolve. uv reads UV_INDEX_URL and SSL_CERT_FILE, not the settings of pip."
# pytest ends with 1 if a test failed, and with another code if it did not get that far.
NO_TEST := "pytest did not come to its end. That is no verdict about any test: see above."
# The tests of the library. Those of the checkers, in verification/tests, are `make verify`'s.
LIBRARY := $(patsubst %,tests/%,unit testing regression conformance stateful aiohttp asgi exporters patterns signals seeing typing examples docs packaging) \
	tests/quality/test_source_rules.py tests/quality/test_survivors.py

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help env test test-all test-compat test-docs docs docs-serve verify generate check-generated lint fuzz bench demo lock dist clean distclean

help: ## this text
	@printf 'aiojobs: what you can do here\n\n'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-24s %s\n", $$1, $$2 }'
	@printf '\n'
	@sed -n 's/^#   \(.*\)/  \1/p' $(MAKEFILE_LIST)

env: ## make the virtual environment from the lock file (the other targets do it by themselves)
	@$(ENV) python -c 'import sys; print("Python", sys.version.split()[0], "in", sys.prefix)'

test: ## the tests of the library with 100 % branch coverage, then once more in debug mode (5 min)
	@printf '==> Tests\n'
	@$(BUILT) python -W error $(COUNTED) -m pytest -q -m "not slow" $(LIBRARY) || sh .ci/whose $$? "A test failed: its story is above. One test alone: .ci/env python -m pytest <file>::<name>" $(NO_TEST)
	@printf '==> Branch coverage of the runtime%s\n' '$(if $(COUNTED),,: measured on the pure build alone)'
	@$(if $(COUNTED),$(COVERAGE) report,true) || sh .ci/whose $$? "Lines or branches of src/aiojobs are not executed by any test: the column \"Missing\" names them."
	@printf '==> Tests, asyncio debug mode\n'
	@PYTHONASYNCIODEBUG=1 $(BUILT) python -W error -m pytest -q -m "not slow and not real_time" $(LIBRARY) || sh .ci/whose $$? "A test fails only in debug mode: PYTHONASYNCIODEBUG=1 .ci/env python -m pytest <file>::<name>" $(NO_TEST)

test-all: ## `make test` on each of Python 3.11 to 3.15 that this machine has; it says which are not there
	@sh .ci/test-all "$(MAKE)"

test-compat: ## jobs under the packages of other people: tracers, monitors, event loops, Cython, servers (some minutes; apt-get installs PostgreSQL if there is none)
	@LOCK=compat $(BUILT) python -m tests.compat

docs: ## the documentation site, with search: build/site; a warning is an error (1 min)
	@LOCK=docs $(ENV) sh .ci/docs

docs-serve: ## the same, served on http://127.0.0.1:8000
	@LOCK=docs $(ENV) sh .ci/docs serve

test-docs: ## the site builds without a warning, and its links, ids and names lead where they should (1 min)
	@LOCK=docs $(ENV) python -m pytest -q tests/website

verify: ## the chain of evidence, TIER=smoke or full; the verdict is in build/report.html and .md (25 min; full: 90)
	@STRICT="$(STRICT)" FAILFAST="$(FAILFAST)" $(ENV) sh .ci/verify $(TIER) $(BUILD)

generate: ## write the files that are derived from spec/
	@$(ENV) python -m aiojobs_verification generate
	@$(ENV) python -m aiojobs_verification draw

check-generated: ## fail if a derived file is not what `make generate` would write
	@$(ENV) python -m aiojobs_verification generate --check && $(ENV) python -m aiojobs_verification draw --check || sh .ci/whose $$? "Derived files are stale: run make generate and commit what it writes."

lint: ## ruff, ruff format, codespell, mypy --strict and pyright (1 min)
	@$(ENV) sh .ci/lint

fuzz: ## drive the real scheduler at random until you stop it, on all cores; findings are kept in build/findings
	@$(if $(CLUSTER),LOCK=compat) $(ENV) python -m aiojobs_verification fuzz $(if $(CLUSTER),--cluster $(CLUSTER))

bench: ## what a job costs with both builds, with aiojobs 1.4.0, and in plain asyncio: build/bench/bench.md (10 min)
	@$(ENV) python hatch_compile.py && builds= || { code=$$?; [ $$code -eq 77 ] && builds='--build pure' || exit $$code; }; \
	LOCK=bench $(ENV) python -m benchmarks run $$builds --tier $(if $(FULL),full,$(if $(QUICK),quick,default))

demo: ## two small services under load, aiohttp and ASGI, with clients that hang up and a shutdown in the middle (10 s)
	@printf '==> aiohttp: every order that was accepted is stored\n'
	@$(ENV) python -m examples.orders_demo
	@printf '\n==> FastAPI on uvicorn: jobs beside background tasks\n'
	@$(ENV) python -m examples.asgi_demo

lock: ## resolve the locks in requirements/ anew, from pyproject.toml and the .in files beside them (universal, hashed)
	@$(RESOLVE) requirements/dev.lock pyproject.toml --all-extras --group dev $(UNRESOLVED)
	@$(RESOLVE) requirements/compat.lock requirements/compat.in --emit-build-options $(UNRESOLVED)
	@$(RESOLVE) requirements/bench.lock requirements/bench.in $(UNRESOLVED)
	@$(RESOLVE) requirements/docs.lock requirements/docs.in $(UNRESOLVED)
	@printf '%s packages. The next target makes its environment anew.\n' "$$(grep -c '==' requirements/*.lock | paste -s -d ' ' -)"

dist: ## build the sdist and the wheels of library and verification into dist/
	@rm -rf dist
	@AIOJOBS_$(if $(filter compiled,$(BUILD)),COMPILED,PURE)=1 $(ENV) python -m build --no-isolation --outdir dist . && $(ENV) python -m build --no-isolation --wheel --outdir dist verification || sh .ci/whose $$? "The build failed: see above. The settings are in pyproject.toml under tool.hatch."

clean: ## remove what was built, measured and cached; keep the environments
	@rm -rf build dist .hypothesis .mypy_cache .ruff_cache .pytest_cache .coverage
	@find src tests verification benchmarks examples spec docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## remove the environments too
	@rm -rf .venv-3.* .venv-compat-3.* .venv-bench-3.* .venv-docs-3.*

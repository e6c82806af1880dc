# Every target sets up what it needs, uv included, from hashed locks. `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# If it is set, as on many build machines, every process compiles all that it imports: one task of Airflow takes
# 13 seconds instead of 5.
unexport PYTHONDONTWRITEBYTECODE

UV := .venvs/uv/bin/uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock"

# One environment per shipped image, and one each for the demo and the control machine.
ENVS := data tracking api ui retrain control notebooks backup loadtest demo
DIR_data := server1-data
DIR_notebooks := server1-data/notebooks
DIR_tracking := server2-tracking
DIR_backup := server2-tracking/backup
DIR_api := server3-serving/api
DIR_ui := server3-serving/ui
DIR_retrain := server3-serving/retrain
DIR_loadtest := server3-serving/loadtest
DIR_demo := server3-serving/demo
DIR_control := ansible

# The project's own source folders in each.
SOURCES_data := $(CURDIR)/server1-data/src $(CURDIR)/server1-data/feed
SOURCES_notebooks := $(CURDIR)/server1-data/src
SOURCES_tracking :=
SOURCES_backup := $(CURDIR)/server2-tracking/backup/src
SOURCES_api := $(CURDIR)/server3-serving/api/src
SOURCES_ui := $(CURDIR)/server3-serving/ui/src
SOURCES_retrain := $(CURDIR)/server3-serving/retrain/src
SOURCES_loadtest := $(CURDIR)/server3-serving/loadtest/src
# The demo asks Airflow with the webhook's client.
SOURCES_demo := $(CURDIR)/server3-serving/demo/src $(CURDIR)/server3-serving/retrain/src
SOURCES_control :=

# The notebooks run the package of server1-data: a package that both environments hold has one version.
SAME_notebooks := -c server1-data/requirements.txt -c server1-data/requirements-dev.txt

# Prints the second lock without the packages that the first one pins the same way.
DIFFERENCE := awk 'FNR == NR { if (/^[a-z0-9]/) known[$$0]; next } \
	/^[a-z0-9]/ { printing = !($$0 in known) } /^\#/ || printing'

DEMO := $(foreach env,demo data tracking api ui retrain,.venvs/$(env).runtime)
DEV := $(ENVS:%=.venvs/%.dev)

.PHONY: help demo notebooks dashboards flows load fix check unit test test-cluster drill bench hooks lock clean
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12
	@echo "check-PART  Check one part and set up its environment only; PART: $(CHECKS:check-%=%)"
	@echo "unit-PART   Run the pure tests of one part; PART: $(UNITS:unit-%=%)"
	@echo "test-PART   Run all tests of one part; PART: $(SUITES:test-%=%)"

demo: $(DEMO) ## Run the whole life of a model on this machine (ONCE=1 stops after the table)
	@.venvs/demo/bin/python -m readmission_demo $(if $(ONCE),--once)

notebooks: .venvs/notebooks.runtime .venvs/tracking.runtime ## Open JupyterLab with the demo's databases
	@.venvs/notebooks/bin/python server1-data/notebooks/start.py

DASHBOARDS := server3-serving/observability/grafana
dashboards: .venvs/api.dev ## Write the JSON of the Grafana dashboards from their program
	@PYTHONPATH=$(DASHBOARDS) .venvs/api/bin/python -m readmission_dashboards $(DASHBOARDS)/dashboards

flows: .venvs/control.dev ## Write the tables of network flows in docs/architecture.md from the policies
	@PYTHONPATH=tests .venvs/control/bin/python -m manifests.support.flow_table

# Locust's own options go into LOCUST, as in `make load LOCUST="--processes 2"`.
API ?= http://127.0.0.1:8000
LOADTEST := server3-serving/loadtest/src/readmission_loadtest
load: .venvs/loadtest.runtime ## Search the highest load that the running demo sustains (WEB=1 opens Locust's pages)
ifdef WEB
	@.venvs/loadtest/bin/locust -f $(LOADTEST)/locustfile.py --host $(API) --web-host 127.0.0.1 $(LOCUST)
else
	@mkdir -p .cache/load
	@READMISSION_LOADTEST_REPORT=$${READMISSION_LOADTEST_REPORT:-.cache/load/capacity} .venvs/loadtest/bin/locust \
	  -f $(LOADTEST)/locustfile.py,$(LOADTEST)/capacity.py --host $(API) --headless --only-summary \
	  --html .cache/load/locust.html $(LOCUST)
endif

hooks: .venvs/tools.runtime ## Install the git hooks of .pre-commit-config.yaml
	@.venvs/tools/bin/pre-commit install --hook-type pre-commit --hook-type pre-push

fix: .venvs/tools.runtime ## Format the code, and fix what the linter can fix
	@.venvs/tools/bin/ruff check --fix-only --quiet .
	@.venvs/tools/bin/ruff format .

# --- checks: one target per environment ---------------------------------------------------------

TYPED := data api ui retrain demo loadtest backup
TYPED_data := server1-data/src server1-data/feed server1-data/plugins server1-data/quality
TYPED_api := server3-serving/api/src $(DASHBOARDS)/readmission_dashboards
CHECKS := check-tools check-control $(TYPED:%=check-%)

.PHONY: $(CHECKS)
check: $(CHECKS) ## Check format, lint, types, playbooks and secrets

check-tools: .venvs/tools.runtime
	@.venvs/tools/bin/ruff format --check .
	@.venvs/tools/bin/ruff check .
	@.venvs/tools/bin/yamllint --strict .
	@.venvs/tools/bin/shellcheck .ci/run .ci/bootstrap .ci/system-parts server*/deploy/*/*.sh ansible/manifests/*/*.sh \
	  vagrant/grow-root server1-data/airflow-health ansible/roles/base/files/certificate-metrics server2-tracking/backup/collect-mysql-client tests/images/support/standin/mysql-entrypoint
	@.venvs/tools/bin/hadolint $$(git ls-files '*Dockerfile')

check-control: .venvs/control.dev
	@echo "ansible-lint"; cd ansible && PATH=$(CURDIR)/.venvs/control/bin:$$PATH ansible-lint --offline -q
	@echo "detect-secrets"; git ls-files -z | xargs -0 .venvs/control/bin/detect-secrets-hook \
	  --disable-plugin KeywordDetector --exclude-files '(^tests/|requirements[^/]*[.]txt$$|^[.]ci/.*[.]txt$$)' \
	  --exclude-secrets '^([0-9a-f]{32,64}|password|PASSWORD|secret)$$'

$(TYPED:%=check-%): check-%: .venvs/%.dev
	@echo "mypy: $(or $(TYPED_$*),$(DIR_$*)/src)"; .venvs/$*/bin/mypy $(or $(TYPED_$*),$(DIR_$*)/src)

# --- tests: pure ones, and all ------------------------------------------------------------------

UNIT_data := tests/repository tests/server1/unit tests/server1/feed_aws
UNIT_api := tests/server3/api/unit
UNIT_ui := tests/server3/ui/unit
UNIT_loadtest := tests/server3/loadtest/test_search.py tests/server3/loadtest/test_patients.py
UNIT_demo := tests/server3/demo
UNITS := unit-data unit-api unit-ui unit-loadtest unit-demo

.PHONY: $(UNITS)
unit: ## Run the pure tests of every part (under a minute)
	@$(MAKE) --jobs=$(JOBS) --keep-going --output-sync=target $(UNITS)

$(UNITS): unit-%: .venvs/%.dev
	@echo "unit: $*"; .venvs/$*/bin/pytest -q $(UNIT_$*)

# Several at a time, since each spends much of its time waiting; each with its output in one piece, the longest
# first. One after the other: `make test JOBS=1`.
JOBS ?= 3
SUITES := test-data test-system test-images test-hosts test-api test-ui test-loadtest test-notebooks test-retrain \
	test-demo test-backup test-manifests

# Line coverage of each package in percent, of what runs in the process of its suite: servers that a test starts
# are not measured. A floor may only rise; tests/repository compares it with its history.
FLOOR_data := 1
FLOOR_api := 1
FLOOR_ui := 47
FLOOR_loadtest := 27
FLOOR_retrain := 1
FLOOR_demo := 13
FLOOR_backup := 1
COVERED_data := readmission_data readmission_feed
covered = COVERAGE_FILE=.cache/coverage-$(1) .venvs/$(1)/bin/pytest --cov-report= --cov-fail-under=$(FLOOR_$(1)) \
	$(patsubst %,--cov=%,$(or $(COVERED_$(1)),readmission_$(1)))

.PHONY: $(SUITES)
test: $(DEV) ## Run all tests but those of the clusters, with the real servers they need
	@.ci/system-parts
	@$(MAKE) --jobs=$(JOBS) --keep-going --output-sync=target $(SUITES)

test-data: .venvs/data.dev .venvs/tracking.runtime
	@echo "test: server1-data"; $(call covered,data) tests/repository tests/server1 --ignore=tests/server1/notebooks

test-api: .venvs/api.dev .venvs/data.runtime .venvs/tracking.runtime .venvs/retrain.runtime
	@echo "test: the API and observability"; $(call covered,api) tests/server3/api tests/server3/observability

test-loadtest: .venvs/loadtest.dev .venvs/api.runtime .venvs/data.runtime .venvs/tracking.runtime
	@echo "test: the load tests"; $(call covered,loadtest) tests/server3/loadtest

test-ui: .venvs/ui.dev .venvs/api.runtime .venvs/data.runtime .venvs/tracking.runtime
	@echo "test: the pages"; $(call covered,ui) tests/server3/ui

test-retrain: .venvs/retrain.dev .venvs/data.runtime
	@echo "test: the retraining webhook"; $(call covered,retrain) tests/server3/retrain

test-demo: .venvs/demo.dev
	@echo "test: the demo"; $(call covered,demo) tests/server3/demo

test-notebooks: .venvs/notebooks.dev .venvs/tracking.runtime
	@echo "test: the notebooks"; .venvs/notebooks/bin/pytest tests/server1/notebooks

test-backup: .venvs/backup.dev
	@echo "test: backups"; $(call covered,backup) tests/backup

test-manifests: .venvs/control.dev
	@echo "test: manifests"; .venvs/control/bin/pytest tests/manifests

test-images: .venvs/data.dev
	@echo "test: the images"; .venvs/data/bin/pytest tests/images

test-system: .venvs/data.dev $(DEMO)
	@echo "test: the whole system"; .venvs/data/bin/pytest tests/system

test-hosts: .venvs/control.dev
	@echo "test: three hosts"; .venvs/control/bin/pytest tests/hosts

# Not part of `make test` yet: it needs the machine to itself, since probes of healthy pods time out on a busy one.
test-cluster: .venvs/control.dev ## Run the platform on three real Kubernetes clusters
	@.ci/system-parts
	@echo "test: three clusters"; .venvs/control/bin/pytest tests/cluster

drill: .venvs/control.dev ## The same with long outages and large counts; write docs/reliability.md
	@.ci/system-parts
	@echo "drill: three clusters"; READMISSION_DRILL=1 .venvs/control/bin/pytest tests/cluster

BENCH := .cache/bench

bench: $(DEV) ## Measure loading, preprocessing and serving; write docs/performance.md
	@.ci/system-parts
	@mkdir -p $(BENCH)
	@echo "bench: load"; .venvs/data/bin/python server1-data/bench/load.py --out $(BENCH)/load.md
	@echo "bench: preprocess"; .venvs/data/bin/python server1-data/bench/preprocess.py --out $(BENCH)/preprocess.md
	@echo "bench: serving"; PYTHONPATH=$(SOURCES_loadtest) .venvs/api/bin/python server3-serving/bench/serving.py \
	  --out $(BENCH)/serving.md --plot docs/performance-serving.png --capacity-plot docs/performance-capacity.png
	@cat server1-data/bench/preface.md $(BENCH)/serving.md <(echo) $(BENCH)/load.md <(echo) $(BENCH)/preprocess.md > docs/performance.md
	@echo "bench: docs/performance.md"

# --- environments -----------------------------------------------------------------------------

$(UV): .ci/uv.txt .ci/bootstrap
	@.ci/bootstrap
	@touch $@

# Exactly the locked packages, then a .pth file that puts the project's own source on the path.
define environment
.venvs/$(1).runtime: $$(DIR_$(1))/requirements.txt | $$(UV)
	@echo "setup: $(1) environment"
	@rm -f .venvs/$(1).dev
	@$$(UV) venv --quiet --allow-existing --python .venvs/uv/bin/python .venvs/$(1)
	@$$(UV) pip sync --quiet --require-hashes --python .venvs/$(1)/bin/python $$<
	@printf '%s\n' $$(SOURCES_$(1)) > "$$$$(.venvs/$(1)/bin/python -c 'import site; print(site.getsitepackages()[0])')/readmission.pth"
	@touch $$@

# requirements-dev.txt names only what requirements.txt does not: together they are the whole lock.
.venvs/$(1).dev: $$(DIR_$(1))/requirements-dev.txt .venvs/$(1).runtime | $$(UV)
	@echo "setup: $(1) test tools"
	@$$(UV) pip install --quiet --require-hashes --python .venvs/$(1)/bin/python \
	  -r $$(DIR_$(1))/requirements.txt -r $$<
	@touch $$@
endef
$(foreach env,$(ENVS),$(eval $(call environment,$(env))))

.venvs/tools.runtime: .ci/tools.txt | $(UV)
	@echo "setup: lint tools"
	@$(UV) venv --quiet --allow-existing --python .venvs/uv/bin/python .venvs/tools
	@$(UV) pip sync --quiet --require-hashes --python .venvs/tools/bin/python $<
	@touch $@

lock: | $(UV) ## Refresh the hashed locks of every environment
	@$(COMPILE) .ci/uv.in -o .ci/uv.txt
	@$(COMPILE) .ci/tools.in -o .ci/tools.txt
	@$(foreach env,$(ENVS),echo "lock: $(DIR_$(env))"; \
	  $(COMPILE) $(DIR_$(env))/pyproject.toml $(SAME_$(env)) -o $(DIR_$(env))/requirements.txt; \
	  $(COMPILE) $(DIR_$(env))/pyproject.toml --group $(DIR_$(env))/pyproject.toml:dev $(SAME_$(env)) \
	    -c $(DIR_$(env))/requirements.txt -o $(DIR_$(env))/requirements-dev.txt; \
	  $(DIFFERENCE) $(DIR_$(env))/requirements.txt $(DIR_$(env))/requirements-dev.txt > .venvs/difference.txt; \
	  cp .venvs/difference.txt $(DIR_$(env))/requirements-dev.txt;)
	@$(foreach part,mysql kubernetes,echo "lock: Airflow, $(part)"; $(COMPILE) server1-data/requirements-airflow-$(part).in \
	  -o server1-data/requirements-airflow-$(part).txt;)

clean: ## Remove environments, caches and the demo's state (never data/)
	rm -rf .venvs .demo .cache .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

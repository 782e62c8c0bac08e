# Two commands for a new user: make demo, make test. Both begin from nothing but Python 3.11+.
SCENARIO ?= healthy
ADDRESS ?= 127.0.0.1:10501
BIN := .venv/bin

.PHONY: demo demo-alerts test check lint types bench lock docs manifests clean

demo: .venv/demo.done
	@$(BIN)/blnk-exporter demo --scenario $(SCENARIO) --web.listen-address $(ADDRESS)

# The same with Debian's Prometheus and Alertmanager: a line for each alert, an hour of the rules in a minute.
demo-alerts: .venv/demo.done
	@sh deploy/tools.sh prometheus prometheus-alertmanager
	@PATH="$$PATH:$(CURDIR)/.venv/debian/bin" $(BIN)/blnk-exporter demo --scenario $(SCENARIO) \
		--web.listen-address $(ADDRESS) --alertmanager deploy/alertmanager/alertmanager.yml

test: .venv/dev.done
	@sh deploy/tools.sh
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: lint types test

lint: .venv/dev.done
	$(BIN)/ruff format --check exporter tests benchmarks
	$(BIN)/ruff check exporter tests benchmarks

types: .venv/dev.done
	$(BIN)/mypy

.venv/%.done: requirements/%.txt pyproject.toml
	@sh deploy/venv.sh $*
	@touch $@

# What a scrape costs, side by side with the exporters that this one replaces; some minutes. make bench BENCH=--quick
bench: .venv/dev.done
	@sh benchmarks/peers.sh
	@$(BIN)/python -m benchmarks $(BENCH)

# The documents and rights that are rendered from declarations.
docs: .venv/dev.done
	$(BIN)/blnk-exporter metrics > docs/metrics.md
	$(BIN)/blnk-exporter settings > docs/configuration.md
	$(BIN)/blnk-exporter grants postgres > deploy/postgres/exporter_role.sql
	$(BIN)/blnk-exporter grants redis > deploy/redis/exporter.acl

# The chart's rules and dashboards, and what the chart makes: after a change of alerts/, dashboards/ or deploy/helm/.
manifests: .venv/dev.done
	@sh deploy/helm/render.sh

# Resolves the pins anew; the result is committed.
lock: .venv/dev.done
	sh deploy/lock.sh

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis

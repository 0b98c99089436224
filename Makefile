# Every target works from a fresh clone: it makes .venv from constraints.txt when that is due.
# Another Python: make test PYTHON=python3.13

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
STAMP := $(VENV)/.installed
CODE := src stages tools benchmarks tests

# `dvc` and the `python` of the stages' commands are those of .venv.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install demo report sweep factors test lint check fix docs bench time benchmark time-tables check-report

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## Make .venv with exact versions; the other targets do it themselves

# TARGETS="train_t impute" makes these and what they need alone.
# Stages or experiments side by side; as many as there are cores unless JOBS=2 or so says else.
side_by_side = $(if $(JOBS),--jobs $(JOBS)) $(if $(SCHEDULER),--scheduler $(SCHEDULER))

demo: $(STAMP) ## Run the whole pipeline on small digits in .demo/, in a few minutes
	python -m tools.demo $(side_by_side)

report: $(STAMP) ## Run the real thing on MNIST, and put the result into the README
	python -m tools.run $(side_by_side) $(foreach name,$(TARGETS),--target $(name))
	python -m tools.readme

sweep: $(STAMP) ## Run the experiments of sweep.yaml, then the report
	python -m tools.sweep $(side_by_side)
	python -m tools.run $(side_by_side)
	python -m tools.readme

factors: $(STAMP) ## Run the trainings of factors.yaml, then the report
	python -m tools.sweep factors $(side_by_side)
	python -m tools.run $(side_by_side)
	python -m tools.readme

test: $(STAMP) ## Run the tests
	OMP_NUM_THREADS=1 python -m pytest

lint: $(STAMP) ## Check format, style, types, imports, and the README's result
	ruff format --check $(CODE)
	ruff check $(CODE)
	mypy
	lint-imports
	python -m tools.readme --check

check: lint test ## Everything that CI checks: lint and test

fix: $(STAMP) ## Format the code, and mend what can be mended
	ruff check --fix $(CODE)
	ruff format $(CODE)

docs: $(STAMP) ## Build the site of the documentation in site/
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

bench: $(STAMP) ## Measure speed beside what a user would pick instead
	python -m benchmarks

time: $(STAMP) ## Measure the imputers' times for the report; nothing else should run
	python -m benchmarks.imputation

benchmark: $(STAMP) ## Compare imputers on real tables: hours
	pip install --quiet --constraint constraints.txt --editable '.[benchmark]'
	python -m tools.run benchmarks/tables/dvc.yaml $(side_by_side)
	python -m tools.readme

time-tables: $(STAMP) ## Measure the times of imputers of tables; nothing else should run
	OMP_NUM_THREADS=1 python -m benchmarks.tables times
	python -m benchmarks.tables speed

check-report: $(STAMP) ## Rebuild the reports from tracked files alone; fail if they differ
	dvc repro --single-item --force compare sweep times imputation report benchmarks/tables/dvc.yaml:page
	git diff --exit-code HEAD -- reports dvc.lock docs benchmarks/tables/dvc.lock

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vaefill needs Python >= 3.11; name one: make PYTHON=python3.13")'
	@test -e $(BIN)/pip || test -e $(BIN)/pip.exe || $(PYTHON) -m venv $(VENV)
	@echo 'Installing into $(VENV); the first time this takes minutes'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[pipeline,dev]'
	@touch $@

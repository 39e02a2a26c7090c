# Pipeline: data -> models/ -> results/ -> figures/.
# VENV names the virtual environment: made if it is missing, completed if it lacks a package.
# PEERS names the one with other people's tools, which need other versions, OLDEST the one with the
# oldest Python and packages that are supported.
# TTFS_DATA_DIR names the folder that holds MNIST/raw/*-ubyte (default: data/).

VENV ?= .venv
PEERS ?= .venv-peers
OLDEST ?= .venv-oldest
DATASET ?= auto
PYTHON = $(VENV)/bin/python
BESIDE_PEERS = benchmarks direct_training peers witness

# `auto` is settled once per run, so that a machine without a network waits for it only once.
settle = $(PYTHON) -c 'import os; from ttfs.datasets import choose_dataset; \
    print(choose_dataset("$(DATASET)", os.environ.get("TTFS_DATA_DIR") or "data"))'

# What pip may install. Our own environment gets the versions behind the committed results, and the
# oldest one the floors. In any other, every package that is there stays as it is,
# but for a setuptools that is too old for the tests.
new_python = python3
ifeq ($(VENV),.venv)
versions = cat constraints.txt
else ifeq ($(VENV),$(OLDEST))
versions = sed -n 's/>=/==/p' requirements.txt requirements-test.txt
new_python = python3.10
else
versions = $(PYTHON) -m pip list --format freeze --exclude pip --exclude setuptools
endif
install = $(versions) >$(VENV)/versions.txt && \
    $(PYTHON) -m pip install --quiet --disable-pip-version-check --constraint $(VENV)/versions.txt -r

.DELETE_ON_ERROR:
.PHONY: help reproduce lenet experiments peers figures readme test test-oldest test-peers mutants \
    check-pages lint clean

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-19s %s\n", $$1, $$2}'

reproduce: $(VENV)/ttfs-ready ## the six scripts from scratch, training included (5 minutes)
	@set -e; dataset=$$($(settle)); set -x; \
	$(PYTHON) train_mnist_pytorch.py --dataset $$dataset; \
	$(PYTHON) convert_all_models.py --dataset $$dataset; \
	$(PYTHON) create_plot.py --dataset $$dataset; \
	$(PYTHON) spike_distribution_plot.py --dataset $$dataset; \
	$(PYTHON) time_axis_schematic.py --dataset $$dataset; \
	$(PYTHON) numerical_exactness_test.py --dataset $$dataset; \
	$(PYTHON) -m ttfs.stages.readme; \
	set +x; [ $$dataset = mnist ] || echo "NOT MNIST: all of the above is about $$dataset."

experiments: $(VENV)/ttfs-ready ## what goes beyond the six scripts, on the models that are there (220 minutes)
	@set -e; dataset=$$($(settle)); \
	[ $$dataset = mnist ] || (set -x; $(PYTHON) train_mnist_pytorch.py --dataset $$dataset; \
	    $(PYTHON) train_mnist_pytorch.py --dataset $$dataset --from models --ticks 2 \
	        --models models/records/two_ticks; \
	    $(PYTHON) train_mnist_pytorch.py --dataset $$dataset --network lenet --augment \
	        --models models --results results); \
	for name in $$($(PYTHON) experiments | cut -d' ' -f1); do \
	    case " $(BESIDE_PEERS) " in *" $$name "*) continue;; esac; \
	    (set -x; $(PYTHON) experiments $$name --dataset $$dataset); done

lenet: $(VENV)/ttfs-ready ## the convolutional network: trains, converts and verifies it (40 minutes)
	@set -e; dataset=$$($(settle)); set -x; \
	$(PYTHON) train_mnist_pytorch.py --dataset $$dataset --network lenet --augment \
	    --models models --results results; \
	$(PYTHON) convert_all_models.py --dataset $$dataset --network lenet; \
	$(PYTHON) numerical_exactness_test.py --dataset $$dataset --network lenet --random-depths \
	    --samples 500 --results results

peers: PYTHON = $(PEERS)/bin/python
peers: $(PEERS)/ttfs-ready-beside-peers ## the experiments beside other people's tools (80 minutes)
	@set -e; dataset=$$($(settle)); \
	[ $$dataset = mnist ] || (set -x; $(PYTHON) train_mnist_pytorch.py --dataset $$dataset); \
	for name in $(BESIDE_PEERS); do \
	    (set -x; $(PYTHON) experiments $$name --dataset $$dataset); done

figures: $(VENV)/ttfs-ready ## the three figures from the committed models (half a minute)
	@set -e; redraw=; \
	if [ ! -e "$${TTFS_DATA_DIR:-data}/MNIST/raw/t10k-images-idx3-ubyte" ]; then \
	    echo "MNIST is not on disk: drawing from the committed results of the same models"; \
	    redraw=--redraw; \
	fi; set -x; \
	$(PYTHON) create_plot.py --dataset mnist; \
	$(PYTHON) spike_distribution_plot.py --dataset mnist $$redraw; \
	$(PYTHON) time_axis_schematic.py --dataset mnist $$redraw

readme: $(VENV)/ttfs-ready ## pastes the tables of results/ into the pages
	$(PYTHON) -m ttfs.stages.readme

test: $(VENV)/ttfs-ready-to-test ## the tests (4 minutes after installing)
	$(PYTHON) -m pytest

test-oldest: ## the tests with the oldest Python and packages that requirements.txt admits
	$(MAKE) test VENV=$(OLDEST)

test-peers: $(PEERS)/ttfs-ready-beside-peers ## installs other people's tools apart, and tests what needs them
	$(PEERS)/bin/python -m pytest -W default tests/test_peers.py tests/test_experiments.py

mutants: $(VENV)/ttfs-ready-to-test ## changes that no test notices, in ONLY=ttfs/coding.py (hours without ONLY)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check mutmut==3.8.1 -c $(VENV)/versions.txt
	status=0; for module in $(or $(ONLY),$(wildcard ttfs/*.py ttfs/*/*.py experiments/*.py)); do \
	    CI=true OMP_NUM_THREADS=1 $(PYTHON) tests/mutants.py $$module $(TESTS) || status=1; \
	done; exit $$status

check-pages: $(VENV)/ttfs-ready-to-test ## that every number on the committed pages is in the committed results
	$(PYTHON) -m pytest -m pages

lint: $(VENV)/ttfs-ready-to-test ## the linter and the formatter
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

clean: ## removes caches, looks, and what was made from the digits; nothing of MNIST
	rm -rf models/digits_*.pkl models/records/*/digits_*.pkl models/look results/look figures/look results/digits figures/digits
	rm -rf build dist *.egg-info results/.*.journal results/.*.lock models/.*.lock figures/.*.lock .pytest_cache .hypothesis .ruff_cache

$(VENV)/bin/python:
	$(new_python) -m venv $(VENV)

$(PEERS)/bin/python:
	python3 -m venv $(PEERS)

$(VENV)/ttfs-ready: requirements.txt constraints.txt | $(VENV)/bin/python
	$(install) requirements.txt
	@touch $@

$(VENV)/ttfs-ready-to-test: requirements-test.txt requirements.txt constraints.txt | $(VENV)/bin/python
	$(install) requirements-test.txt
	@touch $@

$(PEERS)/ttfs-ready-beside-peers: requirements-peers.txt | $(PEERS)/bin/python
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-peers.txt
	@touch $@

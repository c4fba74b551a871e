.DEFAULT_GOAL := help
VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready
TPU_COMPILER := .tpu
WORKDIR ?= demo
DEVICE ?= cpu

.PHONY: help setup setup-tpu tpu tpu-table demo test test-slow bench check docs format image image-tpu image-beam image-check
STAGE := step
ENGINE = $(firstword $(foreach e,docker podman,$(shell $(e) info >/dev/null 2>&1 && echo $(e))))

help: ## this menu
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## find or fetch Python 3.10, make .venv, install the locked packages; DEVICE=gpu or tpu
	@grep -qx $(DEVICE) $< || { echo "error: $(VENV) is for $$(cat $<): delete it, then make it for $(DEVICE)"; exit 2; }

$(READY): requirements.lock requirements-gpu.lock requirements-tpu.lock setup.py .python-version .ci/setup
	@bash .ci/setup $(VENV) $(DEVICE)
	@echo $(DEVICE) > $@

demo: $(READY) ## generated clips to a gated, pushed, served classifier; results in ./demo
	@$(VENV)/bin/avmae demo --workdir $(WORKDIR)

test: $(READY) ## the fast tests
	@$(PYTHON) -m pytest -n 2 --dist worksteal

test-slow: $(READY) ## the end-to-end tests, minutes each
	@$(PYTHON) -m pytest -m slow -n 2 --dist loadfile

bench: $(READY) ## CPU time against the targets; BENCH=name runs one
	@$(PYTHON) -m benchmarks $(BENCH)

check: $(READY) ## lint, format and types
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

setup-tpu: $(TPU_COMPILER)/ready ## Google's TPU compiler, 700 MB, into .tpu (docs/tpu.md)

$(TPU_COMPILER)/ready: avmae_tf/tpu/compiler.lock .ci/setup-tpu | $(READY)
	@bash .ci/setup-tpu $(TPU_COMPILER)

tpu: $(READY) setup-tpu ## a recipe compiled for a TPU, here: RECIPE=demo TPU=v5e:2x2
	@$(VENV)/bin/avmae inspect --recipe $(or $(RECIPE),demo) --tpu $(or $(TPU),v5e:2x2)

tpu-table: $(READY) setup-tpu ## what docs/tpu.md has not yet of ROWS="RECIPE ... --tpu VERSION"
	@$(PYTHON) docs/tpu_table.py $(ROWS)

docs: $(READY) ## the API reference, from the docstrings, in docs/api
	@$(PYTHON) docs/build_api.py

format: $(READY) ## mend what lint and format can mend
	@$(VENV)/bin/ruff check --fix . && $(VENV)/bin/ruff format .

image: ## the image of pipelines: IMAGE=name DEVICE=cpu or gpu (docs/production.md)
image-tpu: ## the same for TPU hosts
image-tpu: DEVICE := tpu
image-beam: ## the same for Dataflow's workers
image-beam: STAGE := beam
image image-tpu image-beam:
	@test -n "$(IMAGE)" || { echo 'error: IMAGE is missing; name it: make $@ IMAGE=registry/avmae:1'; exit 2; }
	@test -n "$(ENGINE)" || { echo 'error: neither docker nor podman is at work here; start one, or check the steps alone: make image-check'; exit 1; }
	@$(ENGINE) build --tag $(IMAGE) --target $(STAGE) --build-arg DEVICE=$(DEVICE) \
	  --build-arg AVMAE_COMMIT=$$(git describe --always --dirty --abbrev=12) .

image-check: $(READY) ## executes the Dockerfile without a container engine: root, debootstrap, 6 GB
	@$(PYTHON) .ci/image.py $(or $(FOLDER),$(shell mktemp -du)) $(DEVICE)

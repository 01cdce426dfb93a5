# The two commands of the README are `make search` and `make test`; each sets up what it needs.
# The first of these that runs; CI has 3.11. If none does, pip says which versions it takes.
PYTHON ?= $(or $(shell for v in 3.11 3.12 3.13 3.14; do \
	python$$v -c "" 2>/dev/null && echo python$$v && break; done),python3)
BIN := .venv/bin
# uv, where it is installed, is faster.
INSTALL := $(if $(shell command -v uv),uv pip install --python .venv,\
	$(BIN)/python -m pip install --disable-pip-version-check)

.PHONY: setup search test test-chaos test-cluster lint format docs bench-metrics bench-search bench-scale bench-pays bench-train bench-publish bench-scaling clean

setup: .venv/.ready

# Exact versions come from constraints.txt, so every clone gets the same environment.
.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) --quiet -c constraints.txt -e '.[dev]'
	touch $@

# A first search on the embedded data: no download, some minutes on two cores.
search: setup
	$(BIN)/python -m search.run --space full --data phantom --image-size 32 --trials 5 \
		--epochs 32 --eval-every 8 --grace 8 --features efficientnet-lite0 --top-k 2 \
		--winner-images 200

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Searches at length whose drivers and workers are killed at random, and whose MLflow dies.
test-chaos: setup
	$(BIN)/python -m tests.searches.chaos kill --trials 5 --epochs 6 \
		--driver-kills 2 --worker-kills 2
	$(BIN)/python -m tests.searches.chaos mlflow --how dies --trials 3 --epochs 6

# Searches on three hosts with addresses of their own, which die, leave and join; needs root and
# iproute2 (Linux namespaces), and says so where it cannot be. Up to half an hour.
test-cluster: setup
	$(BIN)/python -m tests.searches.cluster $(if $(SCENES),--only $(SCENES))

lint: setup docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# docs/ and the docstrings as a site in docs/_build, without a network; half a minute. What a page
# or a docstring refers to must exist, and nothing may be loaded from elsewhere.
docs: setup
	$(BIN)/sphinx-build --quiet --fail-on-warning --nitpicky --fresh-env docs docs/_build
	! grep -rlE --include='*.html' '<(script|link|img)[^>]+"(https?:)?//' docs/_build

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# FID here, by pytorch-fid and by torch-fidelity, on one thread; some seven minutes.
bench-metrics: setup
	$(BIN)/python -m benchmarks.metrics

# Overhead of the search engine against stock Tune + OptunaSearch + MLflowLoggerCallback.
bench-search: setup
	$(BIN)/python -m benchmarks.search

# 2,000 simulated trials: how the driver's time, memory and database grow.
bench-scale: setup
	$(BIN)/python -m benchmarks.scale

# What is found for equal epochs, in three worlds, against stock parts, random search, and SMAC,
# NePS and Syne Tune where they are installed; some 15 minutes without these.
bench-pays: setup
	$(BIN)/python -m benchmarks.pays

# The training step against a plain DCGAN loop, on one core; some three minutes.
bench-train: setup
	$(BIN)/python -m benchmarks.train

# What writing 100 trials to MLflow costs, and what training loses meanwhile; some 15 minutes.
bench-publish: setup
	$(BIN)/python -m benchmarks.publish

# Driver load of searches with 8, 64 and 512 workers, simulated from costs measured here.
bench-scaling: setup
	$(BIN)/python -m benchmarks.scaling

clean:
	rm -rf .venv docs/_build *.egg-info .pytest_cache .ruff_cache

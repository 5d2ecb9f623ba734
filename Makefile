# The only commands to remember. Each sets itself up in a virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUNS ?= runs
DATA ?= data/flickr8k

DOCS := $(VENV)-docs

.PHONY: help demo test test-slow lint docs bench bench-gpu
.DEFAULT_GOAL := help

help:
	@echo "make demo       train a captioner on synthetic scenes and caption real photos (minutes)"
	@echo "make test       the fast tests"
	@echo "make test-slow  real training, real data, kills at random moments"
	@echo "make lint       ruff, mypy"
	@echo "make docs       the documents and the API reference as a site, in site/"
	@echo "make bench      the benchmarks, each against a baseline in the same run"
	@echo "make bench-gpu  what a GPU does, with the photos and captions of DATA=folder"

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q showtell
	@touch $@

demo: $(READY)
	$(BIN)/python main.py --config configs/scenes.yaml --out $(RUNS)/demo
	@echo
	@echo "Real photos, captioned by the model that ships in models/everyday:"
	$(BIN)/python inference.py

test: $(READY)
	$(BIN)/python -m pytest -n 2

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(DOCS)/.ready
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet
	@echo "site/index.html"

# An environment of its own: the reference is made from the source, without torch.
$(DOCS)/.ready: requirements-docs.lock
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install --quiet --disable-pip-version-check --requirement requirements-docs.lock
	@touch $@

bench: $(READY)
	$(BIN)/python benchmarks/bench_profile.py
	$(BIN)/python benchmarks/bench_encode.py
	$(BIN)/python benchmarks/bench_extract.py
	$(BIN)/python benchmarks/bench_train.py
	$(BIN)/python benchmarks/bench_caption.py
	$(BIN)/python benchmarks/bench_coldstart.py
	$(BIN)/python benchmarks/bench_serve.py
	-$(BIN)/python benchmarks/bench_image_size.py --scored 300    # needs Flickr8k
	-$(BIN)/python benchmarks/bench_cider.py    # these two need captions of Flickr8k and COCO,
	-$(BIN)/python benchmarks/bench_metrics.py  # and the second Java

bench-gpu: $(READY)
	$(BIN)/python benchmarks/gpu.py $(DATA)

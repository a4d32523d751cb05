PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
# Which network address the app listens on: this machine alone; ADDRESS=0.0.0.0 opens it to the network.
ADDRESS ?= localhost
# PUBLIC=1: visitors have limits and see their own trainings alone (README, "Open to others").
PUBLIC ?= $(or $(ADVCORE_PUBLIC),0)

.PHONY: run test lint clean gpu-check

run: $(VENV)/run.done
	@test $(ADDRESS) != localhost || echo "For this machine alone. To open it to a class: make run PUBLIC=1 ADDRESS=0.0.0.0"
	ADVCORE_PUBLIC=$(PUBLIC) $(BIN)/python -m advcore app --address $(ADDRESS) --port $(PORT)

test: $(VENV)/dev.done chromium
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

lint: $(VENV)/dev.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Adversarial Lab needs Python 3.11 or newer; run make with PYTHON=python3.11 (or newer)."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.done: requirements.txt | $(VENV)/bin/python
	@echo "Setting up, this once: PyTorch and the rest are a download of up to 3 GB, then the app starts."
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/dev.done: requirements.txt requirements-dev.txt requirements-peers.txt | $(VENV)/bin/python
	@echo "Setting up, this once: PyTorch and the rest are a download of up to 3 GB, then the tests start."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-peers.txt
	@touch $@ $(VENV)/run.done

.PHONY: chromium
chromium: $(VENV)/dev.done
	@sh scripts/chromium.sh $(BIN)/python

gpu-check: $(VENV)/dev.done
	$(BIN)/python benchmarks/gpu_check.py

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache

# Needs python3 (3.11 or newer) and make, nothing else. `make demo`, `make test`, `make check`, `make fix`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= 3

.PHONY: demo test check fix matrix days fuzz peers audit lock clean setup

setup: $(READY)

$(READY): requirements/all.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "vmie-tui needs Python 3.11 or newer (make PYTHON=python3.12 ...)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 cannot make a virtual environment: install its venv package (Debian: python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/all.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

# With no terminal, or HEADLESS=1, the main job runs by itself and prints its result as JSON.
demo: $(READY)
	@if [ -n "$(HEADLESS)" ] || ! [ -t 0 ] || ! [ -t 1 ]; then $(BIN)/vmie-tui demo --headless; else $(BIN)/vmie-tui demo; fi

# ONE=path or ONE=path::test runs just that, in this process.
test: $(READY)
	$(BIN)/python -m pytest $(or $(ONE),-n $(JOBS))

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What ruff can put right by itself.
fix: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Every source on every route against the simulators; ROWS=ova,vhd for some of them.
matrix: $(READY)
	$(BIN)/python -m tools.matrix --rows "$(ROWS)" --columns "$(COLUMNS)"

# A replication over its 90 days, every AMI compared with what was frozen.
days: $(READY)
	$(BIN)/python -m tools.replication_days

# For maintainers, on Debian: other tools' test images and real guests, beside qemu-img and blkid (see tools/peers.py).
peers: $(READY)
	$(BIN)/python -m tools.peers $(PEERS)

# Damaged images for MINUTES: no traceback, nothing slow, and no other bytes than qemu-img reads.
fuzz: $(READY)
	$(BIN)/python -m tools.fuzz_images --minutes $(or $(MINUTES),10)

# The pinned requirements against the known vulnerabilities; says so, and succeeds, where there is no network.
audit: $(READY)
	$(BIN)/python -m tools.audit

# For maintainers: pin again after changing pyproject.toml (needs uv on PATH).
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --all-extras pyproject.toml -o requirements/all.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --extra build -c requirements/all.txt pyproject.toml -o requirements/run.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

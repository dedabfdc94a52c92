# `make demo` and `make test` set everything up on a bare Debian with Python 3.11 and run.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DEBIAN := python3-venv xvfb libgl1 libegl1 libopengl0 libglx-mesa0 libgl1-mesa-dri libdbus-1-3 libfontconfig1 \
  libxkbcommon0 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 \
  libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1
XVFB := xvfb-run -a -s "-screen 0 1600x1000x24"
MRSEG_DATA ?= $(abspath $(wildcard ../shared/data))
ifneq ($(MRSEG_DATA),)
export MRSEG_DATA
endif
# The tests' tensors are tiny: more threads only wait for each other.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
TEST_WINDOW := env -u WAYLAND_DISPLAY QT_QPA_PLATFORM=xcb OMP_NUM_THREADS=1 $(XVFB) $(BIN)/python -m pytest

.PHONY: demo docs test test-full lint core qt viewer training coverage setup system clean

demo: setup
	@if [ "$$(uname)" = Linux ] && [ -z "$$DISPLAY$$WAYLAND_DISPLAY" ]; then \
	  $(BIN)/mrseg demo --screenshot demo.png && echo "No display here: the picture of the window is demo.png."; \
	else $(BIN)/mrseg demo; fi

# Two parts at a time: each uses one core. The longest first, so that both cores are busy to the end. What a part says
# is shown when it ends.
test: setup
	@$(MAKE) --no-print-directory -j2 --output-sync=target viewer core training qt lint

# Longer walks, more studies, many seeds of each kind of malformed file; minutes more.
test-full: test
	MRSEG_FULL=1 $(TEST) tests/core/test_attacks.py tests/core/test_cohort_changes.py
	MRSEG_FULL=1 QT_QPA_PLATFORM=offscreen $(TEST) tests/qt/test_between_studies.py tests/qt/test_walk.py
	MRSEG_FULL=1 $(TEST_WINDOW) tests/viewer/test_plain_napari.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

core: setup
	$(TEST) tests/core

qt: setup
	QT_QPA_PLATFORM=offscreen $(TEST) tests/qt

viewer: setup
	$(TEST_WINDOW) tests/viewer

training: setup
	$(TEST) tests/training

# Which lines the tests that need no display run through. What runs in a process of its own is not counted.
coverage: setup
	$(TEST) --cov=napari_mrseg --cov=mrseg_training --cov-report=term tests/core tests/training

# The site, in site/; a broken link or reference is an error. To look at it: python -m http.server -d site
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt | system
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or later is needed: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -U pip
	$(BIN)/python -m pip install -q --no-compile -c constraints.txt torch
	$(BIN)/python -m pip install -q --no-compile -c constraints.txt -e ".[test]"
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true  # on all cores; some packages hold files that are no Python 3
	touch $@

# Qt, OpenGL and a virtual display. Only Debian and its relatives need this, and only root may install it.
system:
	@if command -v dpkg >/dev/null; then \
	  missing=$$(for p in $(DEBIAN); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	  if [ -n "$$missing" ]; then \
	    if [ "$$(id -u)" = 0 ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; \
	    else echo "Missing system packages; run as root: apt-get install" $$missing; exit 1; fi; \
	  fi; \
	fi

clean:
	rm -rf $(VENV) build dist site

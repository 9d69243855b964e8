# The face of the project. Every target sets up what it needs first.
SYNTH    ?= dexed
PROFILE  ?= smoke
VOICES   ?=
AUDIO_MODEL ?=
ALL      ?=
PYTHON   ?= python3
VENV     ?= .venv
BIN      := $(VENV)/bin
RUN      := $(BIN)/papermill --no-progress-bar --log-level ERROR

# where it is set, each of some hundred processes compiles the package again
unexport PYTHONDONTWRITEBYTECODE

# weights of audio models and presets of synths, if folders of them lie beside the project
ifneq ($(wildcard ../shared/weights),)
export SYNTHPROXY_WEIGHTS ?= $(abspath ../shared/weights)
endif
ifneq ($(wildcard ../shared/presets),)
export SYNTHPROXY_PRESETS ?= $(abspath ../shared/presets)
endif

.PHONY: setup eval claims test check-all reproduce status docs clean-data readme hooks lock

setup: $(VENV)/.done

$(VENV)/.done: settings.ini setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "synthproxy needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true # on all cores, where pip takes one; some packages hold files that cannot be compiled
	touch $@

$(VENV)/.docs: $(VENV)/.done
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,docs]'
	touch $@

# evaluate what ships with the repository, and print the tables
eval: setup
	@mkdir -p results/cpu/notebooks
	$(RUN) nbs/05_eval.ipynb results/cpu/notebooks/05_eval_$(SYNTH).ipynb -p synth $(SYNTH) -p profile cpu
	@cat results/cpu/eval_$(SYNTH).md

# what the README claims, checked
claims: setup
	$(BIN)/python tools/claims.py

# every notebook once, then the tests
test: setup
	PATH="$(abspath $(BIN)):$$PATH" tests/run

# render, embed, train, evaluate, tables and figures: what has changed, and what a stopped run left open. SYNTH=all: every synth that is here.
# VOICES=folder: presets of one's own, to learn from and to test on. AUDIO_MODEL=name: proxies of another audio model than the profile's
reproduce: setup
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/doit --file dodo.py --process 2 --parallel-type thread --continue profile=$(PROFILE) synth=$(SYNTH) voices="$(VOICES)" audio_model="$(AUDIO_MODEL)"

# what is stale, what it will cost, what is missing
status: setup
	$(BIN)/doit --file dodo.py profile=$(PROFILE) synth=$(SYNTH) voices="$(VOICES)" audio_model="$(AUDIO_MODEL)" plan

# start a synth and profile from nothing; never touches what ships
clean-data:
	git clean -fdx data/$(SYNTH)/$(PROFILE)

# the site, from what is committed: build/site/index.html. ALL=yes: also the interactive maps, and every page is opened in a browser
docs: $(VENV)/.docs
	$(BIN)/python tools/make_docs.py $(if $(ALL),--all)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --config-file build/mkdocs.yml
	$(BIN)/python tools/check_site.py $(if $(ALL),--all)

# everything there is to check, also what is too slow for each change: all synths, all maps, all pages, the large tests
check-all: setup
	@test -z "$$(git status --porcelain)" || { git status --short; echo "commit first: a check that nothing is changed needs nothing changed"; exit 1; }
	PATH="$(abspath $(BIN)):$$PATH" tests/wheel install
	tests/from_nothing all
	PATH="$(abspath $(BIN)):$$PATH" tests/run -m "slow or not slow"
	for synth in dexed amsynth faust_poly; do $(MAKE) eval SYNTH=$$synth || exit 1; done
	$(MAKE) claims
	$(MAKE) docs ALL=yes
	@test -z "$$(git status --porcelain)" || { git status --short; echo "a run changed committed files"; exit 1; }

# README.md from nbs/index.ipynb
readme: setup
	$(BIN)/jupyter execute --inplace nbs/index.ipynb
	$(BIN)/nbdev_clean
	$(BIN)/python tools/make_readme.py

# git hooks: notebooks are cleaned and exported before each commit
hooks: setup
	git config core.hooksPath .githooks

# pin what is installed now
lock: setup
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//' > constraints.txt

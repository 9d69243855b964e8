# The face of the project. Every target sets up what it needs first.
SYNTH    ?= dexed
PROFILE  ?= smoke
PYTHON   ?= python3
VENV     ?= .venv
ENCODERS ?= mlp_oh hn_oh hn_pt hn_ptgru tfm opgraph
BIN      := $(VENV)/bin
OUT      := results/$(PROFILE)/notebooks
RUN      := $(BIN)/papermill --no-progress-bar --log-level ERROR

# weights of audio models and presets of synths, if folders of them lie beside the project
ifneq ($(wildcard ../shared/weights),)
export SYNTHPROXY_WEIGHTS ?= $(abspath ../shared/weights)
endif
ifneq ($(wildcard ../shared/presets),)
export SYNTHPROXY_PRESETS ?= $(abspath ../shared/presets)
endif

.PHONY: setup eval test reproduce clean-data readme hooks lock

setup: $(VENV)/.done

$(VENV)/.done: settings.ini setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "synthproxy needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# evaluate what ships with the repository, and print the tables
eval: setup
	@mkdir -p results/cpu/notebooks
	$(RUN) nbs/05_eval.ipynb results/cpu/notebooks/05_eval_$(SYNTH).ipynb -p synth $(SYNTH) -p profile cpu
	@cat results/cpu/eval_$(SYNTH).md

# all that CI checks of the code
test: setup
	PATH="$(abspath $(BIN)):$$PATH" tests/run

# render, embed, train, evaluate; resumes where it was stopped
reproduce: setup
	@mkdir -p $(OUT)
	$(RUN) nbs/03_datasets.ipynb $(OUT)/03_datasets_$(SYNTH).ipynb -p synth $(SYNTH) -p profile $(PROFILE)
	for encoder in $(ENCODERS); do \
	  $(RUN) nbs/04_training.ipynb $(OUT)/04_training_$(SYNTH)_$$encoder.ipynb -p synth $(SYNTH) -p profile $(PROFILE) -p encoder $$encoder || exit 1; \
	done
	$(RUN) nbs/05_eval.ipynb $(OUT)/05_eval_$(SYNTH).ipynb -p synth $(SYNTH) -p profile $(PROFILE)
	@cat results/$(PROFILE)/eval_$(SYNTH).md

# start a synth and profile from nothing; never touches what ships
clean-data:
	git clean -fdx data/$(SYNTH)/$(PROFILE)

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

# make demo    made-up patients -> records -> all methods -> maps -> Table 1 and a report to open, in demo/
# make demo-organs  the same with three organs and a tumour in CT, in nnU-Net's form, by regions, in demo-organs/
# make test    the test suite             make test-addons   the same on the stack of TensorFlow Addons
#              LONG=1 for the long ones   make test-all      all tests, whole studies and the installed wheel too
# make lint    style, imports, types
# make docs    the site, in site/, to open at site/index.html
# make bench   how time and memory grow     make bench-peers  beside PyTorch, ONNX Runtime and OpenVINO
#              QUICK=1 for a minute of it   both write benchmarks/results and docs/reference/performance.md
# make fuzz    damaged inputs of every kind, for MINUTES=10; writes docs/reference/reliability.md
# make clean   removes environments, demo and caches
#
# Each needs python3 (with venv) and make, and installs what it needs by itself. PYTHON=python3.12 chooses another Python.

PYTHON ?= python3
# more for pytest, as in make test PYTEST="-k brats"
PYTEST ?=
# two workers: a process imports TensorFlow for seconds before its first test, so more of them gain little
PARALLEL ?= --numprocesses=2 --dist=worksteal

CURRENT := .venv/bin/python
ADDONS := .venv-addons/bin/python
PEERS := .venv-peers/bin/python

.PHONY: demo demo-organs install test test-whole test-all test-addons fuzz lint docs bench bench-peers performance clean check-python check-python-addons

# ---------------------------------------------------------------------------------------------------------------- demo

demo: .venv/installed
	@$(CURRENT) launch/demo.py

demo-organs: .venv/installed
	@$(CURRENT) launch/demo.py --folder=demo-organs --organs

# --------------------------------------------------------------------------------------------------------------- tests

# tests that are marked `long`, each seconds of trainings, programs or kills, are run by make test-all and by LONG=1
LONG ?=
SHORT = $(if $(LONG),,-m "not long")

test: .venv/installed
	@TF_CPP_MIN_LOG_LEVEL=2 $(CURRENT) -m pytest $(PARALLEL) --ignore=tests/whole $(SHORT) $(PYTEST)

# whole studies and the installed wheel: a file's tests in one process, which makes what they share. Not by xdist_group: pytest-xdist 3.8 finds no groups with pytest 9
test-whole: .venv/installed
	@TF_CPP_MIN_LOG_LEVEL=2 $(CURRENT) -m pytest --numprocesses=2 --dist=loadfile tests/whole $(SHORT) $(PYTEST)

test-all:
	@$(MAKE) --no-print-directory test LONG=1
	@$(MAKE) --no-print-directory test-whole LONG=1

# frozen: what the stack did stays tested, and reading old runs; what came later, features of the current stack and what
# knows no TensorFlow, and the shape of the code, are looked at once, by make test
LATER := whole benchmarks faults fuzz api data_prep/test_documents.py data_prep/test_budgets.py launch/test_odd_paths.py \
    test_register.py test_floors.py scoring/test_counts.py scoring/test_new_metric.py data_prep/test_base.py data_prep/test_tasks.py \
    data_prep/test_map_files.py learning/test_selection.py launch/test_program.py launch/test_edge.py launch/test_stopped.py data_prep/test_room.py data_prep/test_shared_parts.py \
    $(addprefix data_prep/test_,resample.py grid.py datasets.py nnunet.py decathlon.py pairs.py own_words.py own_records.py) \
    $(addprefix data_prep/test_,phantom_organs.py tumour_parts.py) launch/test_own_data_refused.py launch/test_ratio.py maps/test_own_grid.py maps/test_draws.py maps/test_patient_scores.py \
    learning/test_several_training.py learning/test_crops.py scoring/test_class_map.py scoring/test_class_files.py \
    reporting/test_parts.py reporting/test_report_classes.py serving/test_openvino.py maps/test_engine.py serving/test_several_export.py serving/test_several_request.py \
    reporting/test_lesion_files.py reporting/test_in_short.py reporting/test_report_pages.py data_prep/test_made_up.py $(addprefix scoring/test_,aggregate.py comparisons.py conformal.py failure.py findings.py ged.py) \
    $(addprefix scoring/test_,lesion_wise.py lesions.py qu_brats.py retention.py risk_coverage.py surface.py) \
    $(addprefix learning/test_,ssn.py last_epochs.py loss_scale.py) maps/test_stochastic.py nets/test_adam.py nets/test_kernel_gradient.py study/test_seeds.py \
    $(addprefix learning/test_,several_losses.py) maps/test_several_predictives.py \
    nets/test_several_classes.py $(addprefix scoring/test_,curves.py recalibrate.py recalibrated_rows.py temperature.py) \
    launch/test_recalibrate_launcher.py maps/test_recalibrated.py serving/test_recalibrated_export.py \
    data_prep/test_names.py data_prep/test_folders.py scoring/test_names_read.py launch/test_ceilings.py \
    reporting/test_review_section.py reporting/test_viewer_page.py test_metrics_facade.py test_readme_python.py data_prep/test_pairwise.py \
    checking data_prep/test_check_raw.py data_prep/test_check_records.py launch/test_check_launcher.py \
    learning/test_restart.py launch/test_early.py test_security_limits.py data_prep/test_map_headers.py maps/test_patient.py \
    launch/test_completion.py launch/test_demo.py $(addprefix data_prep/test_,dicom.py dicom_folder.py stores.py) maps/test_dicom_seg.py \
    maps/test_mutual_information.py launch/test_storage.py launch/test_places.py \
    test_docs.py test_packaging.py test_site.py scoring/test_score_nnunet_howto.py
test-addons: .venv-addons/installed
	@TF_CPP_MIN_LOG_LEVEL=2 $(ADDONS) -m pytest $(PARALLEL) $(LATER:%=--ignore=tests/%) $(SHORT) $(PYTEST)

# each kind of input gets its share of the time; a fault makes it fail, and is in the file with the input that did it
MINUTES ?= 10
fuzz: .venv/installed
	@TF_CPP_MIN_LOG_LEVEL=2 $(CURRENT) tests/fuzz/run_fuzz.py --minutes=$(MINUTES) --out=tests/fuzz/results.json

# style; the types of public functions; the contracts of who imports whom, which stand in setup.cfg
lint: .venv/installed
	@$(CURRENT) -m ruff check
	@$(CURRENT) -m ruff format --check
	@$(CURRENT) -m mypy
	@.venv/bin/lint-imports --no-cache

# strict: a link, a picture or an anchor that leads nowhere fails. mkdocs finds the packages where it is started
docs: .venv/installed
	@PYTHONDONTWRITEBYTECODE=1 $(CURRENT) -m mkdocs build --strict --quiet
	@! grep -rlE '<(script|link|img|iframe)[^>]+(src|href)="(https?:)?//' site || { echo "these pages load from elsewhere" >&2; exit 1; }
	@echo "open site/index.html"

# ---------------------------------------------------------------------------------------------------------- benchmarks

# QUICK=1: small sizes, into benchmarks/results-quick
QUICK ?=

bench: .venv/installed
	@$(CURRENT) benchmarks/bench.py $(if $(QUICK),--quick)

bench-peers: .venv/installed .venv-peers/installed
	@$(CURRENT) benchmarks/bench.py --peers --peers_python=$(PEERS) $(if $(QUICK),--quick)

performance: .venv/installed
	@$(CURRENT) benchmarks/performance.py

clean:
	rm -rf .venv .venv-addons .venv-peers benchmarks/results-quick demo demo-organs build dist site *.egg-info .pytest_cache .hypothesis .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -------------------------------------------------------------------------------------------------------- environments

# both environments; with -j2 at the same time
install: .venv/installed .venv-addons/installed

# The stamp is written last, so an installation that was interrupted is taken up again; one that is older than what it
# was made from is brought up to date.
.venv/installed: setup.cfg pyproject.toml constraints/current.txt | check-python
	@echo "installing into .venv: some minutes the first time"
	@$(PYTHON) -m venv .venv
	@$(CURRENT) -m pip install --quiet --disable-pip-version-check -c constraints/current.txt -e ".[test,lint,docs,notebook,openvino,dicom,oracles,storage,moto]"
	@touch $@

.venv-addons/installed: setup.cfg pyproject.toml constraints/addons.txt | check-python-addons
	@echo "installing into .venv-addons: some minutes the first time"
	@$(PYTHON) -m venv .venv-addons
	@$(ADDONS) -m pip install --quiet --disable-pip-version-check -c constraints/addons.txt -e ".[addons,test]"
	@touch $@

.venv-peers/installed: benchmarks/requirements-peers.txt | check-python
	@echo "installing into .venv-peers: some minutes the first time"
	@$(PYTHON) -m venv .venv-peers
	@$(PEERS) -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements-peers.txt
	@touch $@

check-python:
	@$(call require_python,13,3.10 to 3.13)

check-python-addons:
	@$(call require_python,11,3.10 or 3.11 (the last that TensorFlow 2.15 supports))

# $(call require_python,newest minor version,in words): one line and an end where Python does not fit
define require_python
command -v $(PYTHON) >/dev/null || { \
    echo "$(PYTHON): not found; install Python $(2), e.g. apt install python3 python3-venv, or give PYTHON=..." >&2; exit 1; }; \
$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, $(1)))' || { \
    echo "$(PYTHON) is `$(PYTHON) -V 2>&1`; expected $(2); give another, e.g. make PYTHON=python3.11" >&2; exit 1; }; \
$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
    echo "$(PYTHON) has no venv; install it, e.g. apt install python3-venv" >&2; exit 1; }
endef

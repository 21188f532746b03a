# The two commands of the product; everything else is `.venv/bin/qc --help`.
.PHONY: run test test-postgresql check bench clean

run:        ## set up what is missing, then start everything with a demonstration line, until Ctrl-C
	@python3 server/set_up.py --without-tests
	@exec .venv/bin/qc up --demonstration

test:       ## set up what is missing, then run every test that needs no accelerator
	@python3 server/set_up.py
	@.venv/bin/pytest

test-postgresql: ## the same on a real PostgreSQL (Debian's programs), a database for each server, instead of SQLite
	@python3 server/set_up.py
	@QC_TEST_DATABASE=postgresql .venv/bin/pytest

check:      ## what an editor would say: style, types, import directions
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

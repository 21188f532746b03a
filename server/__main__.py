"""`python -m server` is `qc`, where the console command is not on the path."""

import sys

from server.cli import main

sys.exit(main())

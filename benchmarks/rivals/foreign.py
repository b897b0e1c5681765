"""The article's store and the MariaDB out of the tests: what they compare ours with is also what is measured."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

TESTS = str(Path(__file__).parents[2] / "tests")
if TESTS not in sys.path:
    sys.path.append(TESTS)

article = import_module("foreign.article")
mariadb = import_module("foreign.mariadb")

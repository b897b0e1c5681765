"""Runs the tests of ``test_replies.py`` under atheris: inputs that lead to new places in the code are varied further.

``make fuzz`` starts this, one test after another: ``python -m fuzz.guided TEST [libFuzzer's options]``. An input that
was found is printed by Hypothesis, and kept in its database, so that pytest tries it first the next time.
"""

from __future__ import annotations

import logging
import sys

import atheris

with atheris.instrument_imports(include=["zoho_token_store"]):
    from fuzz import test_replies


def main() -> None:
    """Run the test that the command line names, until libFuzzer's options end it."""
    program, name, *options = sys.argv
    logging.disable()
    atheris.Setup([program, *options], getattr(test_replies, name).hypothesis.fuzz_one_input)
    atheris.Fuzz()


main()

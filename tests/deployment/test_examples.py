"""The scripts in examples/ run as their first lines say."""

from __future__ import annotations

from deployment.compose import variables_read
from deployment.stage import EXAMPLES, Stage


def test_the_quickstart_runs(stage: Stage) -> None:
    """One exchange, no refresh, and nothing left after the logout."""
    program = stage.run("quickstart")
    assert program.wait() == 0, program.output
    assert "exchanges: 1 refreshes: 0" in program.output
    assert "tokens left: 0" in program.output


def test_an_application_tests_itself_with_the_standin(stage: Stage) -> None:
    """The example of a user's own tests passes, run as it says."""
    program = stage.run("pytest", "-q", "-p", "no:cacheprovider", "test_with_standin.py")
    assert program.wait() == 0, program.output
    assert "5 passed" in program.output


def test_the_settings_are_documented() -> None:
    """Each variable that the portal reads stands in the README of the examples."""
    readme = (EXAMPLES / "README.md").read_text("utf-8")
    assert [name for name in sorted(variables_read()) if f"`{name}`" not in readme] == []

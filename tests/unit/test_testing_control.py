"""The stand-in steered from another process, and run as a service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

import zoho_token_store.testing as testing
from zoho_token_store.testing import ControlError, FakeZoho, ZohoControl


@pytest.fixture
def zoho() -> Iterator[FakeZoho]:
    """Run a stand-in."""
    with FakeZoho() as server:
        yield server


@pytest.fixture
def control(zoho: FakeZoho) -> ZohoControl:
    """Talk to it as another process would."""
    return ZohoControl(zoho.url)


def test_public_names_are_sorted_and_there() -> None:
    """The package exports what it says, in order: constants, classes, functions."""
    assert testing.__all__ == sorted(
        testing.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )
    assert all(hasattr(testing, name) for name in testing.__all__)


def test_control_issues_and_reads(zoho: FakeZoho, control: ZohoControl) -> None:
    """Codes and tokens made from outside are good inside, and counters read the same on both sides."""
    control.wait_ready()
    control.register_client("1000.OTHER", "other", ("http://other/cb",))
    control.register_user("grace@example.com", org_id="60000000009")
    code = control.issue_grant_code(user="grace@example.com", client_id="1000.OTHER")
    zoho.accounts.exchange("1000.OTHER", "other", code, "http://other/cb")
    token = control.issue_refresh_token(user="grace@example.com")
    access = zoho.accounts.authenticate(control.issue_access_token(token))
    assert access is not None
    assert access.user.org_id == "60000000009"
    assert control.expire_access_tokens(token) == 1
    assert control.expire_access_tokens() == 1
    assert control.counters() == zoho.counters
    assert control.requests() == zoho.requests
    assert control.traffic(token) == zoho.traffic(token)
    assert control.max_in_flight() == control.max_in_flight(token) == 0


def test_control_steers_faults_time_and_counters(zoho: FakeZoho, control: ZohoControl) -> None:
    """Switches, planned failures, time and reset reach the stand-in."""
    control.set_faults(latency=0.5, throttle_language="zh")
    control.fail_next(2, kind="half", area="crm")
    control.fail_next(None)
    state = control.state()
    assert (state["faults"]["latency"], state["faults"]["planned"]) == (0.5, {"accounts": -1, "crm": 2})
    control.clear_faults()
    assert control.state()["faults"]["planned"] == {"accounts": 0, "crm": 0}
    before = zoho.now()
    control.advance(3600)
    assert zoho.now() >= before + 3600
    control.reset()
    assert zoho.requests == ()


def test_control_says_what_is_wrong(control: ZohoControl) -> None:
    """Bad arguments and unknown clients come back as an error with the reason."""
    with pytest.raises(ControlError, match="unknown fault 'hnag'"):
        control.set_faults(hnag=True)
    with pytest.raises(ControlError, match="invalid_client"):
        control.issue_grant_code(client_id="1000.NOBODY")
    with pytest.raises(ControlError, match="colour"):
        control.issue_grant_code(colour="red")
    with pytest.raises(ControlError, match="no GET control"):
        control._call("GET", "nothing")


def test_waiting_for_a_stand_in_that_is_not_there_ends(zoho: FakeZoho, control: ZohoControl) -> None:
    """wait_ready gives up in its time."""
    zoho.stop()
    with pytest.raises(TimeoutError, match=zoho.url):
        control.wait_ready(timeout=0.03)


def test_it_runs_as_a_service() -> None:
    """The module runs alone, prints its address, can be steered, and ends in good order on SIGTERM."""
    command = [sys.executable, "-m", "zoho_token_store.testing", "--port", "0", "--expires-in", "9"]
    command += ["--client-id", "1000.MINE", "--client-secret", "mine", "--redirect-uri", "http://a/cb"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            control = ZohoControl(process.stdout.readline().strip())
            control.wait_ready()
            assert len(control.issue_grant_code(client_id="1000.MINE")) == 70
            assert control.state()["limits"]["access_token_ttl"] == 9
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()

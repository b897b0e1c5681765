"""A script's name, header and code agree with one another and with the code that reads its replies."""

from __future__ import annotations

import inspect
import re
from importlib.resources import files

import pytest

from zoho_token_store import question, redis_repository, script
from zoho_token_store.record import TokenRecord

SCRIPTS = {
    entry.name.removesuffix(".lua"): entry.read_text("utf-8")
    for entry in (files("zoho_token_store") / "scripts").iterdir()
    if entry.name.endswith(".lua")
}
LOADED = {loaded.name: loaded for loaded in vars(script).values() if isinstance(loaded, script.Script)}

by_script = pytest.mark.parametrize("name", sorted(SCRIPTS))


def header_of(name: str) -> str:
    match = re.match(r"--\[\[\n(.*?)\]\]\n", SCRIPTS[name], re.DOTALL)
    assert match, "a script begins with its header"
    return match.group(1)


def code_of(name: str) -> str:
    return re.sub(r"--.*", "", SCRIPTS[name].split("]]\n", 1)[1])


def section(name: str, *titles: str) -> str:
    """Return the indented lines under one of some titles."""
    match = re.search(rf"^(?:{'|'.join(titles)})\b.*\n((?:  .*\n|\n)*)", header_of(name), re.MULTILINE)
    return match.group(1) if match else ""


def documented(name: str, array: str) -> tuple[set[int], int | None]:
    """Return the indexes of ``KEYS`` or ``ARGV`` that the header names one by one, and where an open list begins."""
    entries = re.findall(rf"^  {array}\[([^\]]+)\]", header_of(name), re.MULTILINE)
    single = {int(entry) for entry in entries if entry.isdigit()}
    spread = [entry for entry in entries if not entry.isdigit()]
    starts = [int(entry.split("..")[0]) for entry in spread if re.match(r"\d+\.\.", entry)]
    if "then" in section(name, "Arguments") and array == "ARGV" and not starts:
        starts = [max(single) + 1]
    return single, (min(starts) if starts else 1) if spread or starts else None


def used(name: str, array: str) -> tuple[set[int], bool]:
    """Return the fixed indexes of ``KEYS`` or ``ARGV`` that the code uses, and whether it computes any."""
    indexes = re.findall(rf"\b{array}\[((?:[^\[\]]|\[[^\]]*\])+)\]", code_of(name))
    fixed = {int(index) for index in indexes if index.isdigit()}
    return fixed, any(not index.isdigit() for index in indexes) or f"unpack({array}" in code_of(name)


def test_every_file_is_loaded_and_every_loaded_one_is_a_file() -> None:
    """No script lies unused, none is missing, and what is loaded is what the file says."""
    assert LOADED.keys() == SCRIPTS.keys()
    assert all(loaded.text == SCRIPTS[name] for name, loaded in LOADED.items())


@by_script
def test_the_name_is_a_verb_and_the_number_of_fixed_keys(name: str) -> None:
    """``find-5.lua`` finds and has five keys that are always there."""
    verb, number = re.fullmatch(r"([a-z]+)-(\d+)", name).groups()  # type: ignore[union-attr]
    assert verb
    single, _ = documented(name, "KEYS")
    assert single == set(range(1, int(number) + 1))


@by_script
@pytest.mark.parametrize("array", ["KEYS", "ARGV"])
def test_documented_is_used_and_used_is_documented(name: str, array: str) -> None:
    """Each key and argument of the header is used, each that is used stands in the header, open lists included."""
    single, rest = documented(name, array)
    fixed, computed = used(name, array)
    assert fixed == single
    assert computed == (rest is not None)
    assert single == set(range(1, len(single) + 1))
    if rest is not None:
        assert rest in (1, len(single) + 1)


@by_script
def test_the_header_says_what_for(name: str) -> None:
    """It begins with a sentence and has keys, arguments and replies."""
    assert re.match(r"[A-Z].*\.\n", header_of(name).replace("\n", " ").split(". ")[0] + ".\n")
    assert all(section(name, title, f"{title}s").strip() for title in ("Key", "Argument"))
    assert re.search(r"^Repl(y|ies)\b", header_of(name), re.MULTILINE)


@by_script
def test_times_have_their_unit_in_the_name(name: str) -> None:
    """A time in a reply is in milliseconds and its name says so; what ``now`` is stands in the header."""
    for line in re.findall(r"^  [A-Z]+ now ([\w .]+?)(?:  |$)", section(name, "Repl(?:y|ies)"), re.MULTILINE):
        times = [word for word in line.split() if re.search(r"ttl|until|expires|retry|left|life", word)]
        assert all(word.endswith("_ms") for word in times), line
    if " now" in header_of(name):
        assert re.search(r"Redis's time in ms", header_of(name))


def replies(name: str) -> tuple[set[str], set[str]]:
    """Return the kinds of replies that the header names and those that the code gives."""
    named = set(re.findall(r"^  ([A-Z]{2,})\b", section(name, "Repl(?:y|ies)"), re.MULTILINE))
    given = set(re.findall(r"\{'([A-Z]+)', now", code_of(name)))
    return named, given


@by_script
def test_documented_replies_are_given_and_given_ones_documented(name: str) -> None:
    """The header neither promises a reply that never comes nor hides one."""
    named, given = replies(name)
    assert named == given


def test_every_reply_of_find_is_understood() -> None:
    """The repository reads each kind of reply of ``find-5``, and knows no other."""
    given = replies("find-5")[1]
    understood = set(re.findall(r'"([A-Z]{4,})"', inspect.getsource(question)))
    assert understood | {"SAME"} == given
    assert '"SAME"' in inspect.getsource(redis_repository)
    for kind, answer in question._KINDS.items():
        line = re.search(rf"^  {kind} now(.*?)(?:  |$)", section("find-5", "Repl(?:y|ies)"), re.MULTILINE)
        assert line
        assert len(line.group(1).split()) == len(answer._fields), kind


def test_every_reply_of_commit_is_understood() -> None:
    """``commit`` answers OK or CONFLICT, which the repository tells apart by OK."""
    assert replies("commit-1")[1] == {"OK", "CONFLICT"}


@pytest.mark.parametrize("name", ["find-5", "read-0"])
def test_records_are_read_in_one_order(name: str) -> None:
    """The fields of each HMGET stand in the order in which the repository takes them."""
    reads = re.findall(r"'HMGET', (?:token|KEYS\[i\]), ((?:'\w+',?\s*)+)", code_of(name))
    (fields,) = [re.findall(r"'(\w+)'", read) for read in reads if "user_name" in read]
    assert fields == [field for field in TokenRecord._fields if field not in ("id", "access", "stale")]

"""Every rule of the engine is kept by a test that carries its number, or refused in an ADR.

The rules are what years of client-go, controller-runtime and their users' reports have taught about
reflectors, caches, queues, controllers, elections and managers. A test that keeps rule Q17 is named
`test_q17_...` (`test_q13_c1_...` where it keeps two). ADR 10, and ADR 11 for reflectors and caches,
have a line for each rule, or part of one, that we do not follow, with the reason.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
DECISIONS = sorted((ROOT / "docs/adr").glob("*-rules-we-do-not-follow.md"))

# Letters whose rules are all accounted for. Names and decisions are checked for the others too.
COMPLETE = "RSQCLM"

RULES = {
    # Reflector
    "R1": "Lists start at version 0, then at the last one seen; the newest only after an error.",
    "R2": "Versions are opaque, ordered as decimals at most, and without order nothing is refused.",
    "R3": "Pages where etcd answers, none where the watch cache does.",
    "R4": "Later pages send the token alone; an expired one means one full list.",
    "R5": "A list without a version, or of another kind, is an error and no empty cache.",
    "R6": "The cache is replaced first, then its version moves, then the watch begins there.",
    "R7": "Watches ask for bookmarks and end after 5 to 10 minutes at random.",
    "R8": "A watch from no version has none until its first change.",
    "R9": "Bookmarks move the version and reach no handler.",
    "R10": "A watch that ends is opened again where it was; one that ends at once backs off.",
    "R11": "An error event ends the watch as a typed error.",
    "R12": "An expired version means a list at the last one, as an event and as a status.",
    "R13": "A version from the future means a list of the newest.",
    "R14": "429 waits as told and watches on from the same version, without a list.",
    "R15": "An opening that fails is repeated from the same version, without a list.",
    "R16": "An internal error in a watch may be repeated for a while, without a list.",
    "R17": "An object that the server can't decode any more leaves the cache with the next list.",
    "R18": "401 loads the credentials anew; 401, 403 and 404 are retried, and can be seen.",
    "R19": "The backoff doubles from 0.8 s to a cap, is spread, and starts over after quiet.",
    "R20": "Requests are repeated when the server says when, a bounded number of times.",
    "R21": "A half-open connection is noticed.",
    "R22": "A silent watch is dropped and opened again where it was, without a list.",
    "R23": "Half a line is a broken connection, a foreign event is skipped.",
    "R24": "Lines may be of any length.",
    "R25": "A transform runs once for each object before it is kept.",
    "R26": "A cancellation ends lists, watches and waits at once.",
    "R27": "A streamed list is kept apart until its end, then goes on as a watch.",
    "R28": "What interrupts it decides: wait, begin again, or list instead.",
    "R29": "Streamed lists are the default, warn when they don't end, and agree with lists.",
    "R30": "The peak of memory is a page, not a list.",
    "R31": "The server narrows what is sent.",
    # Cache and handlers
    "S1": 'Keys are "namespace/name", of tombstones too.',
    "S2": "An index holds several values, forgets old ones, and refuses a name twice.",
    "S3": "The cache changes first, then handlers hear of it, in order, each change once.",
    "S4": "A relist is one step: deletions by tombstone, then the rest in its order.",
    "S5": "A tombstone has the last state known, or none.",
    "S6": "Another uid under the same name is an update, to be told by its uid.",
    "S7": "An update to the same version is for nobody.",
    "S8": "A resync replays the cache.",
    "S9": "Synced is: the first list has been handed on; it never ends.",
    "S10": "A handler has synced when it has seen that list itself.",
    "S11": "A handler that comes late hears of everything once.",
    "S12": "Handlers come and go at any time, but not to an informer that has ended.",
    "S13": "A handler's exception skips its item, and disturbs nobody.",
    "S14": "A slow handler holds up nobody.",
    "S15": "A filter turns updates across it into additions and deletions.",
    "S16": "What the cache holds can't be changed by its readers.",
    "S17": "An informer starts once, and leaves nothing behind.",
    "S18": "Answers to writes never enter the cache.",
    "S19": "The version of the cache can be read, and moves with bookmarks.",
    "S20": "Many changes at once leave the loop its turns.",
    # Work queue
    "Q1": "Two adds of a key are one run; first in, first out.",
    "Q2": "A key added during its run runs once more after it, never beside itself.",
    "Q3": "That second run queues at the tail; the length counts ready keys only.",
    "Q4": "Nothing refers to a finished key.",
    "Q5": "Shut down, it takes no adds, hands out what is queued, drops what is delayed, ends.",
    "Q6": "A drain waits for running and repeated keys; a plain shutdown ends the wait.",
    "Q7": "A shutdown wakes waiting getters and hangs none, also in the moment of a hand-out.",
    "Q8": "Of two delays of a key the earlier holds; none or less is now; none after shutdown.",
    "Q9": "Ready beats waiting: a key is queued or delayed, never both.",
    "Q10": "The wait of a key doubles with its failures, from 5 ms to 1000 s, without overflow.",
    "Q11": "By default the longer of that and a bucket of 10/s, burst 100, always reserved.",
    "Q12": "Limiters with a fast and a slow phase, and with a longest wait.",
    "Q13": "Forgetting clears the backoff, not the queue; success and a wished-for delay forget.",
    "Q14": "Of a delay and a backoff the shorter; keys do not share their backoff.",
    "Q15": "Higher priority first, first in first out within; raised to the end, never lowered.",
    "Q16": "Delayed keys queue in the order of their times, as if added at that moment.",
    "Q17": "Initial objects and unchanged versions enter at -100, and do not starve.",
    "Q18": "A requeue keeps the key's priority unless the result sets one.",
    "Q19": "Metrics have the names, labels and buckets of controller-runtime's, within bounds.",
    "Q20": "Adds count what was accepted, waits count from the first add, delayed keys when ready.",
    "Q21": "Random operation: no two holders of a key, no lost key, no early one.",
    # Controllers and writes
    "C1": "A fixed number of workers, one by default; the table from results to the queue.",
    "C2": "A terminal error is counted, logged with its cause, and not retried.",
    "C3": "An exception is an error with backoff; a cancellation is none.",
    "C4": "A time limit for each reconcile; only our own deadline counts as a timeout.",
    "C5": "No reconcile before caches and handlers have synced; after two minutes an error.",
    "C6": "A kind that is missing at the start is asked for again until that deadline.",
    "C7": "A reconcile gets a key, reads the state anew, and may be repeated.",
    "C8": "A filter by generation, past which a deletion always gets.",
    "C9": "Filters may be combined, never raise, and do not touch the cache.",
    "C10": "Changes wake their owners: the old and the new one, each once.",
    "C11": "One controller for an object, in its own namespace; another's is refused.",
    "C12": "Nothing is written where nothing changed; names do not change.",
    "C13": "A conflict is tried anew without noise; what exists is adopted only by uid.",
    "C14": "Server-side apply names its manager, is forced on what is ours, and sends all of it.",
    "C15": "An apply with a uid never makes an object anew.",
    "C16": "One manager name for each writer; the status is written apart.",
    "C17": "What is as it should be costs no request.",
    "C18": "Deterministic names, so that a stale cache makes no second object.",
    "C19": "What is expected of the cache is forgotten after five minutes and by uid.",
    "C20": "A key waits until its cache has seen our own writes; it fails open.",
    "C21": "Destructive steps read live and carry uid or version.",
    # Leader election
    "L1": "Durations are validated; an identity is never empty nor used twice.",
    "L2": "Expiry by our own clock since the last change; a free Lease is taken at once.",
    "L3": "Jittered tries; a renewal is one PUT, on failure GET and PUT.",
    "L4": "Renewals are retried until the deadline; one hung request does not use it up.",
    "L5": "A take-over counts and sets its time, a renewal keeps both; unknown fields survive.",
    "L6": "Released only by the leader, after its work, in a time of its own, again on conflict.",
    "L7": "Offsets of clocks do not matter, rates up to 1.5; two may act, and that is harmless.",
    "L8": "A lost Lease ends the work without grace and the process; so does a blocked loop.",
    "L9": "Unhealthy while leading on an expired Lease; metrics of both.",
    # Manager
    "M1": "Start: servers, caches, tasks, handlers, election, controllers.",
    "M2": "Stop: tasks, controllers, caches, servers, Lease, events; with a time of grace.",
    "M3": "Who stops is not elected any more; all errors are told, cancellations are none.",
    "M4": "A part that dies ends the process; nothing is left behind.",
    "M5": "Checks over HTTP: all, one, without some, verbose; names and no secrets.",
    "M6": "Metrics of reconciles and reflectors, from the start.",
}

_NUMBERED = re.compile(r"test_((?:[clmqrs]\d+_)+)")
_LINE = re.compile(r"^\| ([A-Z]\d+)(, [^|]+)? \|[^|]+\|[^|]+\|$", re.MULTILINE)


@functools.cache
def rules_with_a_test() -> frozenset[str]:
    """The rules whose numbers are in names of tests."""
    found = set()
    for file in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                match = _NUMBERED.match(node.name)
                found |= set(match[1].upper().strip("_").split("_") if match else ())
    return frozenset(found)


def decisions() -> dict[str, bool]:
    """The rules with a line in an ADR, and whether it is for the whole rule."""
    lines = [line for adr in DECISIONS for line in _LINE.findall(adr.read_text())]
    return {rule: any(r == rule and not part for r, part in lines) for rule, _ in lines}


@pytest.mark.parametrize("letter", COMPLETE)
def test_every_rule_has_a_test_or_a_decision(letter):
    refused = {rule for rule, whole in decisions().items() if whole}
    accounted_for = rules_with_a_test() | refused
    rules = {rule: text for rule, text in RULES.items() if rule[0] == letter}

    assert {rule: text for rule, text in rules.items() if rule not in accounted_for} == {}


def test_numbers_are_those_of_rules():
    assert (rules_with_a_test() | decisions().keys()) - RULES.keys() == set()

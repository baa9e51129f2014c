"""A change of version goes by a path that etcd supports, or is refused with the way out."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd import version_path as module
from etcd.version_path import WAYPOINTS, PathRefusedError, version_path
from etcd.versions import Version, parse_version

SUPPORTED = st.builds(Version, st.just(3), st.integers(5, 7), st.integers(0, 40))


def path(source, target):
    return [str(v) for v in version_path(parse_version(source), parse_version(target)).hops]


@pytest.mark.parametrize(
    ("source", "target", "hops"),
    [
        ("3.5.21", "3.5.35", ["3.5.35"]),
        ("3.5.35", "3.5.21", ["3.5.21"]),
        ("3.5.35", "3.6.16", ["3.6.16"]),
        ("3.5.35", "3.6.99", ["3.6.99"]),
        ("3.5.35", "3.7.3", ["3.6.16", "3.7.3"]),
        ("3.7.3", "3.5.35", ["3.6.16", "3.5.35"]),
        ("3.7.3", "3.6.16", ["3.6.16"]),
        ("3.6.16", "3.6.16", []),
    ],
)
def test_path(source, target, hops):
    assert path(source, target) == hops


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("3.5.21", "3.6.16", r"3\.5\.26 or newer first.*20967.*set v3\.5\.35"),
        ("3.5.21", "3.7.3", r"3\.5\.26 or newer first.*set v3\.5\.35"),
        ("3.5.35", "3.6.4", r"first version it may go to is 3\.6\.5.*set v3\.6\.16"),
        ("3.6.10", "3.7.3", r"3\.6\.11 or newer first.*set v3\.6\.16"),
        ("3.7.1", "3.6.16", r"3\.7\.2 or newer first.*22171.*set v3\.7\.3"),
        ("3.6.16", "3.5.21", r"may go to is 3\.5\.26.*set v3\.5\.35"),
        ("3.5.35", "3.8.0", r"no minor version known here"),
        ("3.4.30", "3.5.35", r"no minor version known here"),
    ],
)
def test_refused_path_says_why_and_what_to_set(source, target, says):
    with pytest.raises(PathRefusedError, match=says):
        path(source, target)


def test_allowed_and_not_advised_is_said():
    (warning,) = version_path(Version(3, 5, 28), Version(3, 6, 16)).warnings

    assert "3.5.32 or newer is advised before 3.6" in warning


@given(source=SUPPORTED, target=SUPPORTED)
def test_every_path_goes_straight_and_one_minor_version_at_a_time(source, target):
    try:
        hops = version_path(source, target).hops
    except PathRefusedError:
        return
    steps = list(pairwise((source, *hops)))
    assert not hops or hops[-1] == target
    assert all(abs(a.minor - b.minor) <= 1 for a, b in steps)
    assert len({b.minor > a.minor for a, b in steps if a.minor != b.minor}) <= 1
    assert all(hop in WAYPOINTS for hop in hops[:-1])


@given(source=SUPPORTED, target=SUPPORTED)
def test_what_a_refusal_says_to_set_helps(source, target):
    """Setting what it names, and then the target again, comes closer or arrives."""
    for _ in range(4):
        try:
            version_path(source, target)
        except PathRefusedError as error:
            named = parse_version(re.findall(r"set (v[0-9.]*[0-9])", str(error))[-1])
            if named.minor == source.minor:
                version_path(source, named)
                source = named
            else:
                target = named
        else:
            return
    pytest.fail("the way out leads nowhere")


def test_the_table_in_the_docstring_is_the_one_in_force():
    rows = re.findall(
        r"^ +(3\.\d) +(3\.\d) +(3\.\d+\.\d+).*?(3\.\d+\.\d+)$", module.__doc__, re.MULTILINE
    )
    gates = module.GATES.items()

    assert rows == [
        (f"3.{a}", f"3.{b}", str(gate.source), str(gate.target)) for (a, b), gate in gates
    ]

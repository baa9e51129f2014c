"""The file's text, and what never gets into one."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from etcd.config_file import UnknownKeyError, render_config
from etcd.versions import parse_version

V3_6 = parse_version("3.6.16")
V3_7 = parse_version("3.7.3")


def test_file_is_sorted_yaml_with_quoted_strings():
    text = render_config(
        {
            "name": "main-0",
            "client-transport-security": {"cert-file": "/tls/tls.crt", "client-cert-auth": True},
            "auto-compaction-retention": "8",
            "heartbeat-interval": 100,
            "log-outputs": ["stderr"],
        },
        V3_6,
    )

    assert (
        text
        == """\
"auto-compaction-retention": "8"
"client-transport-security":
  "cert-file": "/tls/tls.crt"
  "client-cert-auth": true
"heartbeat-interval": 100
"log-outputs":
- "stderr"
"name": "main-0"
"""
    )


@given(st.text())
def test_texts_survive_whatever_they_look_like(text):
    rendered = render_config({"name": text, "initial-cluster": text}, V3_6)

    assert {"name": text, "initial-cluster": text} == yaml.safe_load(rendered)


@pytest.mark.parametrize(
    "keys",
    [
        {"no-such-key": "x"},
        {"cert-file": "/x"},
        {"client-transport-security": {"nonsense": "/x"}},
        {"experimental-corrupt-check-time": 1},
        {"name": 1},
        {"heartbeat-interval": "100"},
        {"heartbeat-interval": -1},
        {"heartbeat-interval": True},
        {"pre-vote": 1},
        {"grpc-keepalive-min-time": "5s"},
        {"log-outputs": "stderr"},
    ],
    ids=str,
)
def test_keys_that_etcd_would_ignore_or_die_of_are_refused(keys):
    with pytest.raises(UnknownKeyError, match=r"etcd 3\.7\.3"):
        render_config(keys, V3_7)

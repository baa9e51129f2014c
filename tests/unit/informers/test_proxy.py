"""Which proxy the environment asks for."""

from __future__ import annotations

import pytest

from informers.proxy import proxy_from_environment

PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("https://k8s:6443", {}, None),
        ("https://k8s:6443", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://k8s:6443", {"https_proxy": PROXY}, PROXY),
        ("https://k8s:6443", {"HTTPS_PROXY": "proxy:3128"}, PROXY),
        ("https://k8s:6443", {"HTTP_PROXY": PROXY}, None),
        ("http://k8s:8080", {"HTTP_PROXY": PROXY}, PROXY),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": PROXY}, None),
        ("https://localhost:6443", {"HTTPS_PROXY": PROXY}, None),
        ("https://[::1]:6443", {"HTTPS_PROXY": PROXY}, None),
    ],
)
def test_proxy_of_the_scheme_is_used_but_not_for_loopback(url, environ, expected):
    assert proxy_from_environment(url, environ) == expected


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("*", "https://k8s", True),
        ("k8s", "https://k8s", True),
        ("K8S", "https://k8s", True),
        ("example.com", "https://api.example.com", True),
        (".example.com", "https://api.example.com", True),
        (".example.com", "https://example.com", False),
        ("example.com", "https://notexample.com", False),
        ("10.0.0.0/8", "https://10.96.0.1", True),
        ("10.0.0.0/8", "https://11.96.0.1", False),
        ("10.96.0.1", "https://10.96.0.1", True),
        ("fd00::/8", "https://[fd00::1]:6443", True),
        ("k8s:6443", "https://k8s:6443", True),
        ("k8s:6443", "https://k8s", False),
        ("other, k8s", "https://k8s", True),
        ("", "https://k8s", False),
    ],
)
def test_no_proxy_is_read_as_go_reads_it(no_proxy, url, direct):
    found = proxy_from_environment(url, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy})
    assert (found is None) == direct

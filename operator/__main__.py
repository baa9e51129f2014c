"""`python -m operator`: the same program as `etcd-operator`.

This folder has no __init__.py on purpose: it must not shadow the standard library's `operator`.
How Python finds this file is told in docs/adr/0001-python-m-operator.md.
"""

from cli.main import main

if __name__ == "__main__":
    main()

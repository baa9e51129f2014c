#!/usr/bin/env python3
"""Builds what the throwaway Kubernetes needs, each part once per machine.

Usage:
  build.py [NAME...]          builds what is missing (default: all)
  build.py --print-path NAME  prints the folder of one part, building it where it is missing
  build.py --list             prints every name
  build.py --prune DAYS       removes results that were not used for so many days

Names: packages (Debian's), etcd (all versions), etcd-VERSION, kubernetes, kubernetes-old, coredns,
object-stores (what tests of backups talk to), cert-manager (its controllers and kinds), pause,
images (OCI archives of what pods run), image-store (the same, unpacked for containerd), base (what
the operator's image stands on), operator-image, node-images (all that a node starts with).

A part's folder holds its programs in bin/, or its image as image.tar. Results are kept in
$ETCD_OPERATOR_CACHE (else $XDG_CACHE_HOME/etcd-operator, else ~/.cache/etcd-operator), keyed by
content: nothing is built twice, in this clone or in another.

Needed: Python 3.11, Go, gcc, git; root (or sudo) for Debian packages, root for base and images.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import artefacts, cache
from lib.process import SetupError


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--print-path", metavar="NAME")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--prune", type=float, metavar="DAYS")
    options = parser.parse_args()
    if options.list:
        print("\n".join([*artefacts.GROUPS, *artefacts.ARTEFACTS]))
        return 0
    if options.prune is not None:
        cache.prune(options.prune)
        return 0
    if options.print_path:
        print(artefacts.path(options.print_path, quiet=True))
        return 0
    for name in artefacts.expand(options.names or ["all"]):
        artefacts.make(name)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (SetupError, TimeoutError, KeyError) as failure:
        print(f"build: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)

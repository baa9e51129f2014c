#!/usr/bin/env python3
"""Makes tests/unit/etcd/wire_facts.json: fields, enums, methods and error messages of etcd itself.

Usage: generate_wire_facts.py      run it when a new minor version of etcd is supported

Needs Go, and once the network. Only names, numbers, types and messages are kept: facts to compare
our own protos and error classes with.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FACTS = ROOT / "tests/unit/etcd/wire_facts.json"
RELEASES = ("v3.5.35", "v3.6.16", "v3.7.3")
FILES = ("etcdserverpb/rpc.proto", "mvccpb/kv.proto", "authpb/auth.proto")

FIELD = re.compile(r"^(repeated\s+)?([\w.]+)\s+(\w+)\s*=\s*(\d+)")
VALUE = re.compile(r"^(\w+)\s*=\s*(\d+)")
METHOD = re.compile(r"rpc\s+(\w+)\s*\((stream\s+)?(\w+)\)\s*returns\s*\((stream\s+)?(\w+)\)")
ERROR = re.compile(r'status\.Error\(codes\.\w+, "([^"]+)"\)')
OPENING = re.compile(r"^(message|enum|oneof|service)\s+(\w+)$")


def module_dir(version: str) -> Path:
    command = ["go", "mod", "download", "-json", f"go.etcd.io/etcd/api/v3@{version}"]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120)
    return Path(json.loads(run.stdout)["Dir"])


def statements(text: str) -> list[str]:
    """Cuts a .proto at `{`, `}` and `;`, which are kept as marks of their own but for `;`."""
    bare = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    bare = re.sub(r"\s*\[[^\]]*\]", "", bare)
    return [part.strip() for part in re.split(r"([{};])", bare) if part.strip(" \n\t;")]


def read(text: str, facts: dict[str, Any]) -> None:
    package = re.search(r"package\s+(\w+);", text)[1]
    stack: list[tuple[str, str]] = []
    last = ""
    for statement in statements(text):
        if statement == "{":
            found = OPENING.match(last)
            stack.append((found[1], found[2]) if found else ("", ""))
            if found and found[1] == "message":
                facts["messages"].setdefault(full_name(package, stack), {})
        elif statement == "}":
            stack.pop()
        else:
            record(statement, package, stack, facts)
        last = statement


def record(
    statement: str, package: str, stack: list[tuple[str, str]], facts: dict[str, Any]
) -> None:
    kinds = [kind for kind, _ in stack if kind]
    name = full_name(package, stack)
    if kinds[-1:] == ["enum"] and (found := VALUE.match(statement)):
        facts["enums"].setdefault(name, {})[found[1]] = int(found[2])
    elif kinds[-1:] == ["service"] and (found := METHOD.match(statement)):
        shape = [found[3], found[5], bool(found[2]), bool(found[4])]
        facts["methods"][f"{name}/{found[1]}"] = shape
    elif kinds[-1:] in (["message"], ["oneof"]) and (found := FIELD.match(statement)):
        field = {"name": found[3], "type": found[2].split(".")[-1], "repeated": bool(found[1])}
        known = facts["messages"].setdefault(name, {}).setdefault(found[4], field)
        if known != field:
            raise SystemExit(f"{name}.{found[3]} is not the same in all releases")


def full_name(package: str, stack: list[tuple[str, str]]) -> str:
    return ".".join([package, *(n for kind, n in stack if kind in {"message", "enum", "service"})])


def main() -> None:
    facts: dict[str, Any] = {"messages": {}, "enums": {}, "methods": {}}
    errors: set[str] = set()
    for release in RELEASES:
        errors |= set(ERROR.findall((module_dir(release) / "v3rpc/rpctypes/error.go").read_text()))
        for file in FILES:
            read((module_dir(release) / file).read_text(), facts)
    facts["errors"] = sorted(errors)
    FACTS.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

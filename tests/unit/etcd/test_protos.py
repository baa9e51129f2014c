"""Our protos against etcd's own field numbers, and the committed stubs against our protos."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor

from etcd import rpc
from etcd.rpc import Rpc

ROOT = Path(__file__).resolve().parents[3]
FACTS = json.loads((Path(__file__).parent / "wire_facts.json").read_text())
POOL = descriptor_pool.Default()
OURS = {each.path: each for each in vars(rpc).values() if isinstance(each, Rpc)}
FILES = sorted(path.name for path in (ROOT / "etcd/proto").glob("*.proto"))
TYPES = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
}


def our_files():
    return [POOL.FindFileByName(f"etcd/proto/{name}") for name in FILES]


def our_messages():
    return sorted(
        message.full_name
        for file in our_files()
        if file.package != "grpc.health.v1"
        for message in file.message_types_by_name.values()
    )


def our_services():
    return [service for file in our_files() for service in file.services_by_name.values()]


def our_enums():
    messages = [POOL.FindMessageTypeByName(name) for name in our_messages()]
    nested = [enum for message in messages for enum in message.enum_types]
    top = [enum for file in our_files() for enum in file.enum_types_by_name.values()]
    return sorted(enum.full_name for enum in nested + top)


def type_name(field):
    if field.message_type is not None:
        return field.message_type.name
    return field.enum_type.name if field.enum_type is not None else TYPES[field.type]


def shape(field):
    return {
        "name": field.name.replace("_", "").lower(),
        "type": type_name(field),
        "repeated": field.is_repeated,
    }


@pytest.mark.parametrize("name", our_messages())
def test_fields_have_etcds_numbers_types_and_names(name):
    ours = {str(f.number): shape(f) for f in POOL.FindMessageTypeByName(name).fields}

    theirs = {
        number: {**field, "name": field["name"].replace("_", "").lower()}
        for number, field in FACTS["messages"][name].items()
    }

    assert theirs == ours


@pytest.mark.parametrize("name", our_enums())
def test_enums_have_etcds_values(name):
    ours = {value.name: value.number for value in POOL.FindEnumTypeByName(name).values}

    assert FACTS["enums"][name] == ours


@pytest.mark.parametrize("path", sorted(OURS))
def test_listed_methods_are_those_of_the_protos(path):
    method = OURS[path]
    declared = POOL.FindServiceByName(method.service).methods_by_name[method.name]

    assert (declared.input_type, declared.output_type) == (
        method.request.DESCRIPTOR,
        method.response.DESCRIPTOR,
    )


def test_every_method_of_the_protos_is_listed():
    declared = {f"/{s.full_name}/{m.name}" for s in our_services() for m in s.methods}

    assert declared == set(OURS)


def test_streams_flow_as_etcds_do():
    ours = {
        f"{s.full_name}/{m.name}": [
            m.input_type.name,
            m.output_type.name,
            m.client_streaming,
            m.server_streaming,
        ]
        for s in our_services()
        for m in s.methods
        if s.full_name != "grpc.health.v1.Health"
    }

    assert {name: FACTS["methods"][name] for name in ours} == ours


def test_committed_stubs_are_what_the_generator_makes():
    run = subprocess.run(
        [sys.executable, ROOT / "hack/generate_stubs.py", "--check"],
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, "")

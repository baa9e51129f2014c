"""Messages of etcd's gRPC interface, generated from the `.proto` files beside this one.

The `.proto` files are ours: the subset of etcd 3.5 to 3.7 that an operator needs, with etcd's
packages, services and field numbers, and with names in protobuf's own style (docs/adr/0005).
`python3 hack/generate_stubs.py` makes the `*_pb2` modules; nobody edits those. Only the modules of
`etcd/` import them: results leave the room as frozen dataclasses.
"""

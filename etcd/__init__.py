"""Speaks to etcd: its gRPC interface, its errors, its versions and its configuration file.

    pool → dialer, client     a pod → a client of the etcd in it
    client → cluster, maintenance, kv, watch, lease, auth, health → transport → rpc, proto
    errors, classify, retry   what a call can end in, and what to do then
    versions, options, config_file → options_table     what a release can be configured with

Imports no other room, and decides nothing about a cluster.
"""

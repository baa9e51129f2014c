"""A backup in a folder, made without a member: for those who only read it."""

from __future__ import annotations

import hashlib

from etcd.ids import cluster_id_hex
from snapshots.encoding import Encoder
from snapshots.manifest import (
    Cluster,
    Content,
    Database,
    Encryption,
    Manifest,
    Member,
    write_manifest,
)
from tests.unit.snapshots.backups import DATABASE, FOLDER, START

ATTEMPT = "0123456789abcdef"


def store_backup(root, *, database=DATABASE, compress=False, key=None, etcd_version="3.6.16"):
    """Returns its manifest."""
    encoder = Encoder(compress=compress, key=key)
    trailer = hashlib.sha256(database).digest()
    parts = [*encoder.feed(database), *encoder.finish(trailer)]
    facts = encoder.database.facts()
    manifest = Manifest(
        cluster=Cluster(
            id=cluster_id_hex(FOLDER.cluster_id),
            epoch=FOLDER.epoch,
            namespace="ns",
            name="main",
            uid="uid-1",
        ),
        member=Member(id="1", name="main-0", etcd_version=etcd_version),
        content=Content(
            revision=facts.revision,
            compact_revision=facts.compact_revision,
            raft_index=facts.raft_index,
            raft_term=facts.raft_term,
            storage_version=facts.storage_version,
            keys=None,
            kv_hash=None,
        ),
        database=Database(size=len(database), sha256=trailer.hex()),
        started_at=START,
        completed_at=START,
        compression="zstd" if compress else "none",
        encryption=Encryption(key_id=key.id) if key is not None else None,
        attempt=ATTEMPT,
        parts=tuple(one.part for one in parts),
    )
    for one in parts:
        path = part_file(root, one.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one.data)
    (root / FOLDER.manifest).write_bytes(write_manifest(manifest))
    return manifest


def part_file(root, number):
    return root / FOLDER.part(ATTEMPT, number)

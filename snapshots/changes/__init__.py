"""The changes between two backups: kept as they come, and replayed to any revision or time.

segment     one object of the log: some whole revisions, and proof of what comes before them
layout      where segments are
history     what a store has, and what can be restored of it
archiver    a watch → segments
pruning     what leads nowhere any more, deleted
replay      segments → an etcd that nobody else uses
"""

"""Caches, queues and leases above the Kubernetes API; knows nothing of etcd."""

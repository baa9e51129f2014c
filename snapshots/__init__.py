"""Streams of backups: stores, what is kept in them, and how it is proven whole. No Kubernetes."""

"""Shared by the scripts under hack/. Standard library only: they run before any venv exists."""

"""What the admission server needs of Kubernetes: its certificate, and who is told to trust it."""

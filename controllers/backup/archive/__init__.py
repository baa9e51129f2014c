"""The changes between two backups: the Deployment of one pod that keeps them, what that pod is
told, what it tells, and what follows from it.
"""

"""The three kinds of etcd.etcd.io/v1alpha1 as frozen pydantic models; the CRDs are generated
from them.
"""

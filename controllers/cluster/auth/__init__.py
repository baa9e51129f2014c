"""Users, roles and authentication: what etcd has, what it should have, and what is to be changed.

Pure: `read_auth` asks etcd and reads Secrets, `act_auth` changes things.  No password is in any
value here.
"""

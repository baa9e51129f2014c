"""What tests of steps on the API server act with."""

from etcd.pool import ChannelPool


class NoWayThere:
    """A dialer for steps that must not ask etcd anything."""

    def dial(self, endpoint, tls=None):
        raise AssertionError(f"dialled {endpoint}")


NO_ETCD = ChannelPool(NoWayThere())

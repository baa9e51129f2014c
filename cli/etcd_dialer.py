"""The setting `--etcd-dialer` into the way that etcd is reached. Called by `cli.run`."""

import os
from collections.abc import Mapping

import structlog

from cli.settings import Settings
from controllers.pod_pages import DirectPages, ForwardedPages, PodPages
from controllers.port_forward_dialer import PortForwardDialer
from controllers.socket_folder import remove_leftovers
from etcd.dialer import Dialer, DirectDialer
from informers.wire import KubeApi

log = structlog.get_logger()


def make_dialer(settings: Settings, api: KubeApi) -> Dialer:
    """The way that was asked for, or the one that works from here."""
    if _pods_are_routable(settings):
        return DirectDialer()
    log.info("etcd is reached through the API server: needs get and create on pods/portforward")
    remove_leftovers()
    return PortForwardDialer(api)


def make_pages(settings: Settings, api: KubeApi) -> PodPages:
    """The same way, to the pages of our own pods."""
    return DirectPages() if _pods_are_routable(settings) else ForwardedPages(api)


def _pods_are_routable(settings: Settings) -> bool:
    wanted = settings.etcd_dialer
    return wanted == "direct" or (wanted == "auto" and runs_inside(settings, os.environ))


def runs_inside(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Whether this is a pod of the cluster that it looks after.

    A pod that was given a kubeconfig may look after another cluster, whose pods it can't reach.
    """
    is_told = settings.kubeconfig or settings.context or environ.get("KUBECONFIG")
    return "KUBERNETES_SERVICE_HOST" in environ and not is_told

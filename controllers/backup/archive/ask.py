"""Asks the pod that keeps the changes how far it is. Silence, and what is no report, are values."""

from dataclasses import replace
from typing import Final

import structlog

from controllers.backup.archive.observed import Archiver, Silence
from controllers.backup.archive.order import LONGEST_PAGE, PORT, STATUS_PAGE, read_report
from controllers.pod_pages import PageError, PodPages

_TIMEOUT_S: Final = 3.0

log = structlog.get_logger()


async def asked(archiver: Archiver, namespace: str, pages: PodPages) -> Archiver:
    """The same with its pod's report, where it has a pod that runs."""
    pod = archiver.pod
    if pod is None or pod.started is None or not pod.address:
        return archiver
    try:
        page = await pages.get(
            namespace=namespace,
            pod=pod.name,
            address=pod.address,
            port=PORT,
            path=STATUS_PAGE,
            timeout_s=_TIMEOUT_S,
            max_bytes=LONGEST_PAGE,
        )
        return replace(archiver, report=read_report(page))
    except (PageError, ValueError) as error:
        log.info("no report of the archiver", pod=pod.name, error=str(error))
        return replace(archiver, report=Silence(why=str(error)))

"""`operator run`: real connections and signals around the parts, until it is told to stop."""

import sys

import structlog
import uvloop

from cli.assembly import assemble
from cli.logs import configure_logging
from cli.settings import Settings
from cli.version import user_agent
from controllers.io_metrics import RequestMetrics
from controllers.manager import stopping_on_signals
from informers.errors import ConfigurationError, KubeError
from informers.wire import connect

log = structlog.get_logger()

# Beside 0 (told to stop) and 2 (usage): something failed, the log's last lines say what.
_FAILED = 1


def run_operator(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code: 0 told to stop, 1 something failed."""
    configure_logging(settings)
    try:
        uvloop.run(_run(settings))
    except ConfigurationError as error:
        print(f"etcd-operator: {error}", file=sys.stderr)
        return _FAILED
    except KubeError as error:
        log.error("stopped by an error of the API server", error=str(error))  # noqa: TRY400 - it says all
        return _FAILED
    except Exception:
        log.exception("stopped by an error")
        return _FAILED
    return 0


async def _run(settings: Settings) -> None:
    requests = RequestMetrics()
    api = await connect(
        kubeconfig=settings.kubeconfig,
        context=settings.context,
        user_agent=user_agent(),
        observer=requests,
    )
    async with api:
        operator = assemble(settings, api, requests)
        try:
            with stopping_on_signals(operator.manager.stop):
                await operator.manager.run()
        finally:
            await operator.channels.close()

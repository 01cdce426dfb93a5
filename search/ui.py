"""`python -m search.ui`: MLflow's pages, open at the runs of all studies.

MLflow's own command is not on the path where the project was installed by pipx or uv, and its pages
begin with one for language models.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import webbrowser
from contextlib import closing, suppress

from spaces.errors import InputError
from trainable.basics.addresses import without_password
from trainable.basics.command import command_line
from trainable.basics.parser import Parser, program
from trainable.basics.progress import stage
from trainable.basics.ranges import check_range
from trainable.basics.terminal import make_console, say
from trainable.tracking.client import (
    TRACKING,
    check_tracking,
    quiet_mlflow,
    runs_page,
)
from trainable.tracking.names import EXPERIMENT

PORT = 5000
"""MLflow's own."""


@command_line("MLflow's pages are closed; all runs are kept")
def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 for bad input, or what MLflow's server ends with."""
    args = parser().parse_args(argv)
    check_range("--port", args.port, 1, 65535)
    check_tracking(args.tracking_uri)
    served = not args.tracking_uri.startswith("http")
    if served:
        check_free(args.port)
    console = make_console()
    with stage(console, "looking for runs"):
        page = runs_page(args.tracking_uri, args.experiment)
    if not served:
        address = without_password(args.tracking_uri).rstrip("/") + page
        say(console, address)
        webbrowser.open(address)
        return 0
    say(console, f"http://127.0.0.1:{args.port}{page} opens in some seconds; Ctrl-C ends it")
    return serve(args.tracking_uri, args.port)


def parser() -> Parser:
    """The command line's."""
    p = Parser(
        prog=program("search.ui"),
        description="Open MLflow's pages at the runs of all studies, for this machine alone.",
    )
    p.add_argument("--tracking-uri", default=TRACKING, help=f"MLflow's store (default: {TRACKING})")
    p.add_argument(
        "--experiment", default=EXPERIMENT, metavar="NAME",
        help="whose runs; augmentation studies are in cgan-augmentation (default: %(default)s)",
    )  # fmt: skip
    p.add_argument("--port", type=int, default=PORT, help="(default: %(default)s)")
    return p


def check_free(port: int) -> None:
    """Raise InputError where something else listens at the port."""
    with closing(socket.socket()) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(
                f"--port is {port}, which cannot be listened at ({error.strerror}); choose another"
            ) from error


def serve(uri: str, port: int) -> int:
    """Run MLflow's server of the store, for this machine alone; returns its exit code.

    The address is not on its command line, which all users of a machine can read: there may be a
    password in it.
    """
    quiet_mlflow()
    words = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    # Two processes instead of nine: jobs are for judging language models.
    words += ["--workers", "1"]
    settings = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    # Ctrl-C in a terminal is for its whole group of processes, and uvicorn says it in 60 lines.
    server = subprocess.Popen(words, env=os.environ | settings, start_new_session=True)
    try:
        return server.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())

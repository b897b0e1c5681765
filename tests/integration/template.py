"""The template process: it imports the SDK once, and forks a worker for each socket that it is handed.

A worker takes its commands from that socket (:mod:`integration.desk`). When the socket closes it ends in good order,
like any script that has come to its end; no worker outlives the test that started it.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from importlib import import_module
from importlib.resources import files
from multiprocessing.connection import Connection

from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.util.constants import Constants

from integration.desk import Desk


def preload() -> None:
    """Read what the SDK would read at its first use in every worker."""
    found = files("zohocrmsdk") / "src" / Constants.JSON_DETAILS_FILE_PATH
    Initializer.json_details = json.loads(found.read_text("utf-8"))
    for module in ("downloader", "form_data_converter", "json_converter", "xml_converter"):
        import_module(f"zohocrmsdk.src.com.zoho.crm.api.util.{module}")


def serve(control: socket.socket) -> Connection | None:
    """Fork a worker for each socket that comes; return its end of it in the worker, and None in the template."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return None
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            return Connection(descriptors[0])
        os.close(descriptors[0])
        control.sendall(pid.to_bytes(8, "big"))


def main() -> None:
    """Serve on the descriptor that is named on the command line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, whose end closes the sockets
    preload()
    control = socket.socket(fileno=int(sys.argv[1]))
    gc.freeze()  # what is loaded stays: collecting it in every worker would copy its pages
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system collects the workers
    control.sendall(b"R")
    connection = serve(control)
    if connection is not None:
        Desk().serve(connection)


if __name__ == "__main__":
    main()

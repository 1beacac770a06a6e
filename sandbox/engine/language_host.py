"""The engine's Python language host: starts the stack's program and reports how it ended.

An engine that was installed brings its own host, `pulumi-language-python`; one that was built from its Go
module does not, and finds this one beside it. The protocol is Pulumi's `LanguageRuntime` service; the program
itself is started by Pulumi's own `pulumi-language-python-exec`, which the engine's module ships.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

# The exit code by which the exec program says that it has already shown the user a message.
_MESSAGE_SHOWN = 32
_GRPC_OPTIONS = [
    ("grpc.max_receive_message_length", 400 * 1024 * 1024),
    ("grpc.max_send_message_length", 400 * 1024 * 1024),
]


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Runs Python programs and Python plugins with the interpreter that runs this host."""

    def __init__(self, engine_address: str, exec_path: Path) -> None:
        self._engine_address = engine_address
        self._exec_path = exec_path
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def Handshake(self, request, context):
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request, context):
        return plugin_pb2.PluginInfo(version=importlib.metadata.version("pulumi"))

    def GetRequiredPackages(self, request, context):
        # Each SDK names its plugin's version when it registers a resource; a list here would only make the
        # engine look for all of them before the program starts.
        return language_pb2.GetRequiredPackagesResponse()

    def GetRequiredPlugins(self, request, context):
        return language_pb2.GetRequiredPluginsResponse()

    def About(self, request, context):
        return language_pb2.AboutResponse(executable=sys.executable, version=platform.python_version())

    def GetProgramDependencies(self, request, context):
        distributions = sorted((d.metadata["Name"], d.version) for d in importlib.metadata.distributions())
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[language_pb2.DependencyInfo(name=name, version=version) for name, version in distributions]
        )

    def InstallDependencies(self, request, context):
        message = "The project's environment is made by `make setup`.\n"
        yield language_pb2.InstallDependenciesResponse(stdout=message.encode())

    def Cancel(self, request, context):
        with self._lock:
            running = list(self._running)
        for process in running:
            # Not an interrupt: Python would tell the user of it by a traceback.
            process.terminate()
        return empty_pb2.Empty()

    def Run(self, request, context):
        program = request.info.entry_point or request.program or "."
        arguments = {
            "--monitor": request.monitor_address,
            "--engine": self._engine_address,
            "--project": request.project,
            "--root_directory": request.info.root_directory,
            "--stack": request.stack,
            "--organization": request.organization,
            "--parallel": str(request.parallel),
            "--dry_run": "true" if request.dryRun else "false",
            "--pwd": request.pwd,
        }
        command = [sys.executable, "-u", str(self._exec_path)]
        for flag, value in arguments.items():
            if value:
                command += [flag, value]
        target = Path(request.info.program_directory or request.pwd) / program
        command += [str(target.resolve()), *request.args]
        environment = os.environ | {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        process = self._start(command, env=environment, cwd=request.pwd or None)
        try:
            code = process.wait()
        finally:
            self._ended(process)
        if code in (_MESSAGE_SHOWN, -signal.SIGTERM):
            return language_pb2.RunResponse(bail=True)
        if code != 0:
            return language_pb2.RunResponse(error=f"the program exited with code {code}")
        return language_pb2.RunResponse()

    def RunPlugin(self, request, context) -> Iterator[language_pb2.RunPluginResponse]:
        program = Path(request.info.program_directory or request.program) / (request.info.entry_point or ".")
        command = [sys.executable, "-u", str(program), *request.args]
        environment = dict(entry.split("=", 1) for entry in request.env) or dict(os.environ)
        process = self._start(command, env=environment, cwd=request.pwd or None, stdout=subprocess.PIPE)
        context.add_callback(process.terminate)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                yield language_pb2.RunPluginResponse(stdout=line)
            yield language_pb2.RunPluginResponse(exitcode=process.wait())
        finally:
            self._ended(process)

    def _start(self, command: list[str], **options) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
        with self._lock:
            self._running.add(process)
        return process

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running.discard(process)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exec", type=Path, required=True, help="Pulumi's pulumi-language-python-exec")
    parser.add_argument("engine_address")
    options, _ = parser.parse_known_args()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), options=_GRPC_OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageHost(options.engine_address, options.exec), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    # The engine ends the host by an interrupt; a host whose engine died must not linger.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    server.wait_for_termination()


def _exit_with_parent() -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        threading.Event().wait(1)
    os._exit(0)


if __name__ == "__main__":
    main()

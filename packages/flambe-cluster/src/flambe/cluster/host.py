"""One machine of a cluster: how it is reached, what it is asked to do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from flambe.cluster.connection import Completed, Connection, Login
from flambe.cluster.errors import ClusterError, RemoteCommandError, SSHConnectingError

ORCHESTRATOR = "orchestrator"
FACTORY = "factory"
RETRIES = 60
RETRY_DELAY_S = 1.0


class Host:
    """A machine. name: ``<cluster>_orchestrator``, ``<cluster>_factory_<i>``. role: ``orchestrator`` or ``factory``.

    address: where we reach it; private: where the other machines do.
    """

    def __init__(self, name: str, role: str, address: str, private: str, login: Login) -> None:
        self.name = name
        self.role = role
        self.address = address
        self.private = private
        self.login = login
        self.python = "python3"
        self.facts: dict[str, Any] = {}
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def connect(self, *, tries: int = 1, on_retry: Callable[[int, str], None] | None = None) -> Connection:
        """Return the connection, made anew when there is none that works.

        tries: how often to try, a second apart, while nothing answers: a machine may be starting. A refused key or a
        foreign host key ends it at once. on_retry: called with the number of the failed try and the reason.

        Raises ``HostKeyError``, ``MissingAuthError``, ``SSHConnectingError``.
        """
        with self._lock:
            for number in range(1, tries + 1):
                if self._connection is not None and self._connection.alive:
                    return self._connection
                try:
                    self._connection = Connection(self.address, self.login)
                except SSHConnectingError as error:
                    if number == tries:
                        raise
                    if on_retry is not None:
                        on_retry(number, error.what)
                    time.sleep(RETRY_DELAY_S)
            assert self._connection is not None
            return self._connection

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def run(self, command: Sequence[str] | str, **options: Any) -> Completed:
        """Run a command (see ``Connection.run``)."""
        return self.connect().run(command, **options)

    def ask(self, verb: str, *, on_answer: Callable[[dict[str, Any]], None] | None = None, **arguments: Any) -> Any:
        """Let the agent do something on this machine and return its result.

        on_answer: gets what the agent says before its result.

        Raises ``ClusterError`` when the machine refuses, ``RemoteCommandError`` when the agent broke.
        """
        request = json.dumps({"sources": _sources(), "order": _ORDER, "verb": verb, "arguments": arguments}).encode()
        received = _Answers(on_answer)
        command = [self.python, "-c", _START]
        done = self.run(command, stdin=request, on_stdout=received.take)
        if received.refused is not None:
            raise Refused(f"{self.name}: {received.refused}")
        if not received.ended:
            lines = [line for line in done.stderr.decode(errors="replace").strip().splitlines() if line.strip()]
            why = lines[-1] if lines else "no answer"
            raise RemoteCommandError(
                f"{self.name}: {self.python} ended with {done.code}: {why}",
                hint="Is Python 3 installed there? setup_cmds may install it, `python` may name it."
                if done.code in (126, 127)
                else None,
            )
        return received.result

    def examine(self, workdir: str) -> dict[str, Any]:
        """Find out what the machine is; the answer stays in ``facts``."""
        self.facts = self.ask("probe", workdir=workdir)
        return self.facts

    @property
    def workdir(self) -> str:
        """The absolute folder of the cluster on this machine, known since ``examine``."""
        return str(self.facts["workdir"])


class Refused(ClusterError):
    """A machine said why it cannot do what was asked."""


# Makes a package of the files that came, in the order in which they name each other.
_START = """
import json, sys, types
request = json.load(sys.stdin)
package = sys.modules["flambe_agent"] = types.ModuleType("flambe_agent")
package.__path__, package.SOURCES = [], request["sources"]
for name in request["order"]:
    module = sys.modules["flambe_agent." + name] = types.ModuleType("flambe_agent." + name)
    module.__package__ = "flambe_agent"
    setattr(package, name, module)
    exec(compile(request["sources"][name], name + ".py", "exec"), module.__dict__)
module.serve(request)
"""
_ORDER = ("answers", "files", "processes", "ray_guard", "ray_node", "machine", "jobs", "door")


@cache
def _sources() -> dict[str, str]:
    folder = Path(__file__).with_name("agent")
    return {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in (*_ORDER, "supervisor")}


class _Answers:
    """Puts the agent's lines together."""

    def __init__(self, on_answer: Callable[[dict[str, Any]], None] | None) -> None:
        self.on_answer = on_answer
        self.refused: str | None = None
        self.result: Any = None
        self.ended = False
        self._rest = b""

    def take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in filter(None, lines):
            answer = json.loads(line)
            if "refused" in answer:
                self.refused = answer["refused"]
            elif "result" in answer:
                self.result, self.ended = answer["result"], True
            elif self.on_answer is not None:
                self.on_answer(answer)

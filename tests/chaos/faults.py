"""What can go wrong, as it does: processes killed without a word, or stopped for a while."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

from stack import Stack, kill

LEASE_SECONDS = 10
AWAY_SECONDS = 20

Fault = Callable[[Stack, random.Random], bool]


def _killing(find: Callable[[Stack], list[int]]) -> Fault:
    """Kill one of the processes found, if there is one."""

    def fault(stack: Stack, chance: random.Random) -> bool:
        found = find(stack)
        if found:
            kill(chance.choice(found))
        return bool(found)

    return fault


def _stop_service(stack: Stack, _: random.Random) -> bool:
    """Stop the service for longer than its lease, then let it go on."""
    found = stack.child("service")
    for pid in found:
        kill(pid, signal.SIGSTOP)
    time.sleep(LEASE_SECONDS + 3)
    for pid in found:
        kill(pid, signal.SIGCONT)
    return bool(found)


def _refuse_mlflow(stack: Stack, _: random.Random) -> bool:
    """MLflow is gone, and nobody starts it for a while: its port refuses connections."""
    kill(stack.supervisor, signal.SIGSTOP)
    found = stack.child("mlflow")
    for pid in found:
        kill(pid)
    time.sleep(AWAY_SECONDS)
    kill(stack.supervisor, signal.SIGCONT)
    return bool(found)


def _kill_supervisor(stack: Stack, _: random.Random) -> bool:
    """Everything on the machine dies; `sasam up` is started again."""
    kill(stack.supervisor)
    while stack.child("service") or stack.child("ray") or stack.child("mlflow"):
        time.sleep(0.1)
    stack.start_supervisor()
    return True


FAULTS: dict[str, Fault] = {
    "service": _killing(lambda stack: stack.child("service")),
    "driver": _killing(lambda stack: stack.ray("-m workers.driver")),
    "trial actor": _killing(lambda stack: stack.ray("ray::ResourceTrainable")),
    "Ray head": _killing(lambda stack: stack.ray("gcs_server")),
    "worker node": _killing(lambda stack: [p for p in stack.node() if p in stack.ray("/raylet ")]),
    "MLflow": _killing(lambda stack: stack.child("mlflow")),
    "service stopped for 13 s": _stop_service,
    "MLflow away for 20 s": _refuse_mlflow,
    "supervisor and all": _kill_supervisor,
}

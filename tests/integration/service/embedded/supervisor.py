"""Runs a stack with a stand-in for the service until a signal; prints events as JSON lines."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from service.embedded import EmbeddedError, EmbeddedStack, StackEvent
from service.settings import Settings


def tell(event: StackEvent) -> None:
    sys.stdout.write(json.dumps(asdict(event)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    stack = EmbeddedStack(
        Settings(),
        service_command=(
            *(sys.executable, "-m", "uvicorn", "--app-dir", str(Path(__file__).parent)),
            *("--factory", "standin:create_app"),
        ),
    )
    try:
        with stack.running(tell):
            tell(StackEvent("stack", "healthy", json.dumps(asdict(stack.addresses))))
            stack.wait()
    except EmbeddedError as error:
        tell(StackEvent("stack", "died", str(error)))
        sys.exit(1)

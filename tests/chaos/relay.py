"""A port of one loopback address, handed on to the same port of another.

Ray takes 127.0.0.1 for this machine's outward address wherever it is told to join a cluster, and
the embedded head listens on 127.0.0.1 alone. A second node joins it by an address of its own.
"""

from __future__ import annotations

import asyncio
import threading


class Relay:
    """Hands connections on in a thread that ends with the program.

    Args:
        listening: Address that it listens on.
        target: Address that it connects to.
        port: The port of both.
    """

    def __init__(self, listening: str, target: str, port: int) -> None:
        self._listening, self._target, self._port = listening, target, port
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connect, self._listening, self._port)
        await server.serve_forever()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(self._target, self._port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, back), _pump(there, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until one side has closed."""
    try:
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()

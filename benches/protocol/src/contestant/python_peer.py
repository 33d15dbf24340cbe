"""Does what it is told on standard input with qemu.qmp, and says how long it took."""

import asyncio
import sys
import time

from qemu.qmp import EventListener, QMPClient

IN_FLIGHT = 64
BURST = 200_000


async def once(client, work):
    if work == "single":
        await client.execute("query-status")
    elif work == "in-flight":
        await asyncio.gather(*(client.execute("query-status") for _ in range(IN_FLIGHT)))
    elif work == "events":
        with client.listen(EventListener("DEVICE_DELETED")) as events:
            await client.execute("stop")
            for _ in range(BURST):
                await events.get()
    elif work == "decoded":
        await client.execute("query-qmp-schema")
    else:
        raise ValueError(work)


async def main(path):
    client = QMPClient("bench")
    await client.connect(path)
    print("ready", flush=True)
    # Nothing else is to happen while it waits to be told.
    for line in sys.stdin:
        work, count = line.split()
        for _ in range(int(count)):
            await once(client, work)
        print("done", flush=True)


asyncio.run(main(sys.argv[1]))

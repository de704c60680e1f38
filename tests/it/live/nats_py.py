"""Publishes events.jsonl with nats-py, reads the incidents back, and compares them with replay.jsonl, byte for byte."""
import asyncio
import sys
import time

import nats

LINES_A_MESSAGE = 50
# A replay ends with its last event; live, the watermark waits for what may still come late.
MAY_STILL_WAIT = 3


async def main(url):
    client = await nats.connect(url)
    stream = client.jetstream()
    lines = open("events.jsonl", "rb").read().splitlines()
    for start in range(0, len(lines), LINES_A_MESSAGE * 64):
        block = range(start, min(start + LINES_A_MESSAGE * 64, len(lines)), LINES_A_MESSAGE)
        acks = [await stream.publish_async("events.mixed.demo", b"\n".join(lines[i : i + LINES_A_MESSAGE])) for i in block]
        await asyncio.gather(*acks)
    want = open("replay.jsonl").read().splitlines()
    subscription = await stream.subscribe("incidents.>", ordered_consumer=True)
    got, deadline = [], time.monotonic() + 60
    while len(got) < len(want) and time.monotonic() < deadline:
        try:
            got.append((await subscription.next_msg(timeout=1)).data.decode())
        except nats.errors.TimeoutError:
            pass
    assert len(got) + MAY_STILL_WAIT >= len(want), f"{len(got)} of {len(want)} revisions came"
    for number, (ours, theirs) in enumerate(zip(got, want), 1):
        assert ours == theirs, f"revision {number} differs:\n{ours}\n{theirs}"
    await client.close()


asyncio.run(main(sys.argv[1]))

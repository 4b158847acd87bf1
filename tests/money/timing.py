"""Whether a wrong key tells by its time how near it is: near misses against random keys, in turns."""

import statistics
import time
from dataclasses import dataclass

from execution_platform.identity.directory import KeyDirectory
from execution_platform.identity.keys import new_key
from execution_platform.identity.store import Draft
from identity.test_store import MASTER, Room
from storage.opened import opened


@dataclass(frozen=True)
class Timing:
    """Medians in microseconds."""

    near: float
    random: float

    @property
    def apart(self) -> float:
        """How far they are apart."""
        return abs(self.near - self.random)


async def compare_times(url: str, count: int) -> Timing:
    """Keys that differ from a real one in their last character, against keys of the same form that nobody has."""
    async with opened(url) as storage:
        room = Room(storage)
        directory = KeyDirectory(room.keys, room.pepper)
        issued = (await room.keys.create(MASTER, Draft(name="web", tenant="default")))[1]
        real = issued.text.reveal()
        near = (real[:-1] + ("A" if real[-1] != "A" else "B")).encode()
        head = real.rsplit("-", 1)[0] if real.count("-") == 3 else real[: -len(real) // 3]
        assert await directory.find(real.encode()) is not None
        took: dict[str, list[float]] = {"near": [], "random": []}
        pepper = room.pepper.make()
        for _ in range(count):
            other = new_key(pepper).text.reveal()
            # The id is public: only the secret has to be guessed.
            far = (head + other[len(head) :]).encode()
            for name, token in (("near", near), ("random", far)):
                begun = time.perf_counter()
                found = await directory.find(token)
                took[name].append((time.perf_counter() - begun) * 1e6)
                assert found is None
        return Timing(statistics.median(took["near"]), statistics.median(took["random"]))

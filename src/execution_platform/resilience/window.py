"""Two counts over the last seconds, in a ring of buckets."""


class Window:
    """How many samples the last `seconds` held, and how many of them were marked.

    Times are monotonic seconds. Old samples leave by whole buckets, so the window is up to one bucket shorter than
    `seconds`.
    """

    __slots__ = ("_all", "_marked", "_size", "_slot", "_width", "marked", "samples")

    def __init__(self, seconds: float, buckets: int = 10) -> None:
        self._width = seconds / buckets
        self._size = buckets
        self._all = [0] * buckets
        self._marked = [0] * buckets
        self._slot = 0
        self.samples = 0
        self.marked = 0

    def add(self, now: float, *, samples: int = 0, marked: int = 0) -> None:
        """Count `samples` and `marked` at `now`."""
        slot = int(now / self._width)
        if slot != self._slot:
            self._turn(slot)
        place = slot % self._size
        self._all[place] += samples
        self._marked[place] += marked
        self.samples += samples
        self.marked += marked

    def turn(self, now: float) -> None:
        """Let go of what is too old at `now`."""
        slot = int(now / self._width)
        if slot != self._slot:
            self._turn(slot)

    def newest_marked(self, now: float) -> int:
        """The marked samples of the bucket of `now`."""
        self.turn(now)
        return self._marked[int(now / self._width) % self._size]

    def clear(self) -> None:
        """Forget every sample."""
        self._all = [0] * self._size
        self._marked = [0] * self._size
        self.samples = self.marked = 0

    def _turn(self, slot: int) -> None:
        if slot < self._slot or slot - self._slot >= self._size:
            self.clear()
        else:
            for passed in range(self._slot + 1, slot + 1):
                place = passed % self._size
                self.samples -= self._all[place]
                self.marked -= self._marked[place]
                self._all[place] = self._marked[place] = 0
        self._slot = slot

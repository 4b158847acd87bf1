"""`python -m capacity`: measure what one process bears and print one table; `--write` puts it into the reference."""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rich.console import Console

from capacity.beside import neighbour, readers
from capacity.rates import leavers, overhead, overload, reloads, soak
from capacity.scene import Row, Scale
from capacity.streams import crowd, drain
from capacity.tools import tools
from execution_platform import _json

MEASURES: Mapping[str, Callable[[Scale], Iterator[Row]]] = {
    "overhead": overhead,
    "crowd": crowd,
    "readers": readers,
    "drain": drain,
    "leavers": leavers,
    "overload": overload,
    "neighbour": neighbour,
    "reloads": reloads,
    "soak": soak,
    "tools": tools,
}
FILE = Path(__file__).parents[2] / "docs" / "reference" / "_measured.json"
_SHORT = 0.05


def main() -> int:
    """Run the command line; 1 when a promise is not kept."""
    parser = argparse.ArgumentParser(prog="python -m capacity", description="What one process bears.")
    parser.add_argument("--only", default="", help=f"some of {','.join(MEASURES)}")
    parser.add_argument("--share", type=float, default=1.0, help="do this share of everything")
    parser.add_argument(
        "--short", action="store_true", help="little of everything: shows that nothing fails, not how fast it is"
    )
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name}, which the reference shows")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else list(MEASURES)
    unknown = set(chosen) - set(MEASURES)
    if unknown:
        parser.error(f"--only: {', '.join(sorted(unknown))} is not one of {', '.join(MEASURES)}")
    if options.write and (options.only or options.short or options.share != 1.0):
        parser.error(
            "--write: the reference shows the whole table, measured in full; leave out --only, --short and --share"
        )
    console = Console(highlight=False, soft_wrap=True)
    rows: list[tuple[Row, str]] = []
    started = time.monotonic()
    # The clients' own pauses are not the gateway's; what they leave in circles is small.
    gc.disable()
    for name in chosen:
        busy, stolen = _ticks()
        found = list(MEASURES[name](Scale(_SHORT if options.short else options.share)))
        busy, stolen = (after - before for after, before in zip(_ticks(), (busy, stolen), strict=True))
        taken = f"{100 * stolen / max(1, busy + stolen):.0f} %"
        for row in found:
            rows.append((row, taken))
            mark = "[green]ok [/]" if row.is_kept else "[red]RED[/]"
            console.print(
                f"{mark} {row.promise:6} {row.what:78} {row.got:>28}  target {row.promised}; {taken} taken away"
            )
    kept = sum(row.is_kept for row, _ in rows)
    console.print(f"\n{kept} of {len(rows)} as promised; {time.monotonic() - started:.0f} s")
    if options.write:
        table = [[row.promise, row.what, row.got, row.promised, row.is_kept, taken] for row, taken in rows]
        FILE.write_text(_json.pretty(table) + "\n", encoding="utf-8")
    return 0 if kept == len(rows) else 1


def _ticks() -> tuple[int, int]:
    """Of all processors since the machine started, in clock ticks: the time they worked, and the time a hypervisor took away from work.

    `/proc/stat`, proc(5): user, nice, system, idle, iowait, irq, softirq, steal.
    """
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return user + nice + system + irq + softirq, steal


if __name__ == "__main__":
    sys.exit(main())

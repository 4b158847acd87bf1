"""`python -m money`: measure what is promised about money, print it, and with `--write` put it into the reference."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import servers
from money.figures import PAGE, Figure, page
from money.killed import kill_in_flight
from money.million import summarise
from money.outage import How, go_through
from money.shared import CENTS, spend
from money.timing import compare_times
from money.truth import compare

CENT = 0.01
_HOWS: tuple[How, ...] = ("stopped", "frozen", "restarted")
_CODE = "auth_backend_unavailable"


def shared_budget(seeds: int, folder: Path, database: servers.Postgres) -> Iterator[Figure]:
    """R21."""
    found = [asyncio.run(spend(seed, folder, database.new_database())) for seed in range(seeds)]
    what = f"400 callers, $1, two replicas, one killed half-way; {seeds} seeds"
    most, least = max(each.asked for each in found), min(each.used for each in found)
    yield Figure("R21", f"{what}: requests of a cent sent", f"at most {CENTS + 1}", str(most), most <= CENTS + 1)
    yield Figure("R21", "spent or held when the survivor refuses", "at least $0.97", f"${least:.3f}", least >= 0.97)
    low, high = min(each.dollars for each in found), max(each.dollars for each in found)
    yield Figure(
        "R21",
        "spent by the meter once the replica is back: most",
        "at most $1.01",
        f"${high:.3f}",
        round(high, 6) <= 1 + CENT,
    )
    yield Figure("R21", "and least", "at least $0.97", f"${low:.3f}", low >= 0.97)
    over = round(max(each.dollars - each.booked - each.held for each in found), 6)
    yield Figure("R21", "beyond what the books say is spent or held", "$0", f"${max(over, 0):.3f}", over <= 0)
    off = round(max(abs(each.booked - each.dollars) for each in found), 6)
    yield Figure("R37", "books against the meter after it", "within a cent", f"${off:.3f}", off <= CENT)


def killed(seeds: int, streams: int, database: servers.Postgres) -> Iterator[Figure]:
    """R1."""
    found = [asyncio.run(kill_in_flight(seed, streams, database.new_database())) for seed in range(seeds)]
    what = f"kill -9 with {streams:,} streams in flight and {streams:,} calls done; {seeds} seeds"
    lost = sum(each.lost_committed for each in found)
    yield Figure("R1", f"{what}: committed events lost", "0", str(lost), lost == 0)
    wrong = sum(abs(each.dispatched - each.rows) + each.doubled for each in found)
    yield Figure("R1", "requests without exactly one row", "0", str(wrong), wrong == 0)
    slowest = max(each.seconds for each in found)
    yield Figure("R1", "restart until the last row is there", "at most 60 s", f"{slowest:.1f} s", slowest <= 60)
    drift = max(each.drift for each in found)
    yield Figure("R1", "total against the meter", "within 0.5 %", f"{drift:.2%}", drift <= 0.005)
    flagged = all(each.flagged for each in found)
    yield Figure("R1", "cut streams flagged, all others exact", "all", "all" if flagged else "not all", flagged)


def outages(seconds: float, rate: float, folder: Path) -> Iterator[Figure]:
    """R9."""
    for how in _HOWS:
        (folder / how).mkdir()
        with servers.postgres() as database:
            found = asyncio.run(go_through(how, seconds, rate, database, folder / how))
        for_long = "" if how == "restarted" else f" for {seconds:g} s"
        what = f"PostgreSQL {how}{for_long} at {rate:g} requests a second"
        failed = sum(count for status, count in found.statuses.items() if status != 200)
        yield Figure("R9", f"{what}: requests that failed", "0", f"{failed} of {found.statuses.total()}", failed == 0)
        wrong = abs(found.asked - found.rows) + found.rows - found.distinct
        yield Figure("R9", "rows lost or doubled", "0", str(wrong), wrong == 0)
        level = found.recovered <= 10
        yield Figure("R9", "until the books were level again", "at most 10 s", f"{found.recovered:.1f} s", level)
        if how != "restarted":
            told = f"{found.unseen[0]} `{found.unseen[1]}`"
            yield Figure("E14", "a key nobody had seen", f"503 `{_CODE}`", told, found.unseen == (503, _CODE))


def truth(folder: Path) -> Iterator[Figure]:
    """B2, R37."""
    found = asyncio.run(compare(folder))
    what = f"{found.ways} ways of client dialect, provider and streaming; {found.calls} completed calls"
    yield Figure(
        "R37", f"{what}: ways in which books and meter differ", "0", str(found.differing), found.differing == 0
    )


def timing(folder: Path) -> Iterator[Figure]:
    """E13."""
    found = asyncio.run(compare_times(f"sqlite:///{folder / 'keys.db'}", 5000))
    what = "5,000 near misses of a key against 5,000 random ones: medians apart"
    yield Figure("E13", what, "below 50 us", f"{found.apart:.1f} us", found.apart < 50)


def summaries(rows: int, folder: Path, database: servers.Postgres) -> Iterator[Figure]:
    """Reports over many rows."""
    for name, url in (("SQLite", f"sqlite:///{folder / 'million.db'}"), ("PostgreSQL", database.new_database())):
        found = asyncio.run(summarise(url, rows))
        what, slowest = max(found.milliseconds.items(), key=lambda each: each[1])
        yield Figure(
            "",
            f"{rows:,} rows on {name}: the slowest summary ({what})",
            "below 200 ms",
            f"{slowest:.0f} ms",
            slowest < 200,
        )


def main() -> int:
    """Run the command line; 1 when a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m money", description="Money under failures, measured.")
    parser.add_argument("--seeds", type=int, default=50, help="of the shared budget")
    parser.add_argument("--kills", type=int, default=20, help="seeds of the kill")
    parser.add_argument("--streams", type=int, default=1000, help="in flight at the kill")
    parser.add_argument("--away", type=float, default=120, help="seconds the database is away")
    parser.add_argument("--rate", type=float, default=100, help="requests a second meanwhile")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the books for the summaries")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    options = parser.parse_args()
    figures: list[Figure] = []
    with servers.postgres() as database, tempfile.TemporaryDirectory(prefix="ep-money-") as made:
        folder = Path(made)
        for some in (
            truth(folder),
            timing(folder),
            summaries(options.rows, folder, database),
            outages(options.away, options.rate, folder),
            killed(options.kills, options.streams, database),
            shared_budget(options.seeds, folder, database),
        ):
            for figure in some:
                sys.stdout.write(figure.line() + "\n")
                sys.stdout.flush()
                figures.append(figure)
    if options.write:
        PAGE.write_text(page(figures))
    return 0 if all(figure.is_kept for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())

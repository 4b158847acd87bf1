"""`python -m chaos`: play the scenarios, print the scorecard, measure; `--write` puts it into the reference."""

import argparse
import sys
import time
from pathlib import Path

from chaos import courses, cuts, limits, outages
from chaos.measure import measure_all
from chaos.measured import Measured
from chaos.runner import Result, play_all
from chaos.scorecard import print_line, print_measured, print_summary, write_page

GROUPS = {
    "Failures before the first content": outages.SCENARIOS,
    "Streams that break": cuts.SCENARIOS,
    "Refusals and limits": limits.SCENARIOS,
    "Over time": courses.SCENARIOS,
}
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "scorecard.md"


def main() -> int:
    """Run the command line; 1 when a cell is red."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description="A rehearsal of failures.")
    parser.add_argument("--short", action="store_true", help="the short rehearsal")
    parser.add_argument("--only", default="", help="scenarios whose name has this in it, by commas")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--measure", action="store_true", help="measure after the scenarios")
    parser.add_argument("--measure-only", action="store_true", help="measure and play nothing")
    options = parser.parse_args()
    wanted = [part for part in options.only.split(",") if part]
    chosen = [
        scenario
        for scenarios in GROUPS.values()
        for scenario in scenarios
        if (scenario.short or not options.short) and (not wanted or any(part in scenario.id for part in wanted))
    ]
    if options.list:
        for scenario in chosen:
            sys.stdout.write(f"{scenario.id:26} {scenario.title}\n")
        return 0
    started = time.monotonic()
    results: list[Result] = [] if options.measure_only else play_all(chosen, print_line)
    print_summary(results, time.monotonic() - started)
    rows: list[Measured] = []
    if options.measure or options.measure_only:
        rows = measure_all(print_measured)
    if options.write:
        write_page(PAGE, GROUPS, results, rows)
    return 0 if all(result.is_green or result.skipped for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())

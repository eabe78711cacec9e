"""`make bench`: runs the benchmarks and prints what they measured, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module

from schemas.errors import FundingStreamError

BENCHMARKS = ("pipeline", "worker")
PARTS = ("throughput", "latency")
"""Of the worker's, to be run by name."""
COMMANDS = ("faults", "calls", "modes", "warmup", "alerts", "intervals", "disturbances")
"""With a command line and a verdict of their own."""
QUICK_S = 10.0


def main() -> None:
    """Run a command, or the benchmarks that the command line names."""
    if sys.argv[1:2] and sys.argv[1] in COMMANDS:
        module = import_module(f"benchmarks.{sys.argv[1]}")
        try:
            raise SystemExit(module.main(sys.argv[2:]))
        except FundingStreamError as error:
            print(f"{sys.argv[1]}: {error}", file=sys.stderr)
            raise SystemExit(error.exit_code) from error
    _benchmarks()


def _benchmarks() -> None:
    """Run the benchmarks that the command line names; all by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = (*BENCHMARKS, *PARTS)
    commands = f"or one of {', '.join(COMMANDS)}, each with options of its own (--help)"
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; {commands}"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help=f"--seconds {QUICK_S:g}")
    parser.add_argument("--contracts", type=int, default=1874)
    parser.add_argument("--alone", action="store_true", help="without rivals and floors")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(known)
    if unknown:
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}")
    seconds = QUICK_S if arguments.quick else arguments.seconds
    results = {}
    for name in arguments.names or BENCHMARKS:
        module = import_module(f"benchmarks.{name}")
        results[name] = module.run(
            seconds=seconds, contracts=arguments.contracts, alone=arguments.alone
        )
        if not arguments.json:
            print(f"\n{name}")
            for key, value in results[name].items():
                print(f"  {key:60} {value}")
    if arguments.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()

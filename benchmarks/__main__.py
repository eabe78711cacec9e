"""`make bench`: runs the benchmarks and prints what they measured, as a table or as JSON.

Not responsible for: what is measured (one module each).
"""

from __future__ import annotations

import argparse
import json
from importlib import import_module

BENCHMARKS = ("pipeline",)


def main() -> None:
    """Run the benchmarks that the command line names; all by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement")
    parser.add_argument("--contracts", type=int, default=745)
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}")
    results = {}
    for name in arguments.names or BENCHMARKS:
        module = import_module(f"benchmarks.{name}")
        results[name] = module.run(seconds=arguments.seconds, contracts=arguments.contracts)
        if not arguments.json:
            print(f"\n{name}")
            for key, value in results[name].items():
                print(f"  {key:44} {value}")
    if arguments.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()

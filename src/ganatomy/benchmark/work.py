"""What a child process does: ``python -m ganatomy.benchmark.work measure|row OUT NAME SEED``.

A process for each row keeps its memory apart, and lets a row that is killed be a row that says so.
"""

import json
import sys
from pathlib import Path

from ganatomy.benchmark import row
from ganatomy.benchmark.measure import measure
from ganatomy.benchmark.plan import PLAN, Plan
from ganatomy.errors import Ended
from ganatomy.machine import progress


def main(what: str, out: Path, name: str, seed: int) -> int:
    """Do it; the last line of standard output is the result of a measurement."""
    progress.quiet = True
    plan = Plan.model_validate_json((out / PLAN).read_text())
    try:
        if what == "measure":
            print(json.dumps(measure(plan, name)))
        else:
            row.make(plan, out, name, seed)
    except Ended as end:
        print(end, file=sys.stderr)
        return end.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))

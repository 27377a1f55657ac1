"""The child process of a benchmark: ``python -m ganatomy.benchmark.work measure|row OUT NAME SEED``.

Each row has its own process, so that its memory is measured separately and a killed row is reported as failed.
"""

import json
import sys
from pathlib import Path

from ganatomy.benchmark import row
from ganatomy.benchmark.measure import measure_recipe
from ganatomy.benchmark.plan import PLAN_FILE, BenchmarkPlan
from ganatomy.errors import Ended
from ganatomy.machine import progress
from ganatomy.machine.processes import exit_with_standard_input


def main(task: str, out: Path, name: str, seed: int) -> int:
    """Run a task, ``measure`` or ``row``; a measurement prints its result as the last line of standard output."""
    progress.quiet = True
    plan = BenchmarkPlan.model_validate_json((out / PLAN_FILE).read_text())
    try:
        if task == "measure":
            print(json.dumps(measure_recipe(plan, name)))
        else:
            row.make_row(plan, out, name, seed)
    except Ended as end:
        print(end, file=sys.stderr)
        return end.exit_code
    return 0


if __name__ == "__main__":
    exit_with_standard_input()
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))

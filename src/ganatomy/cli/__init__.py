"""The command line: one sub-command per public function, with the same name."""

import os
import sys
from importlib.metadata import version

from tyro.conf import OmitArgPrefixes

from ganatomy.cli.app import app, check_command_name, command_arguments
from ganatomy.cli.wrong_words import refuse_wrong_words
from ganatomy.errors import Ended, Interrupted, Refused
from ganatomy.machine import progress
from ganatomy.machine.places import DISK_FULL_ERRORS, describe_system_error

# isort: off
from ganatomy.cli import stores, training, weights, images, delivery, studies, encodings, studio, doctor  # noqa: F401  order of --help


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns 0 on success, 1 for a fault or divergence, 2 for a user's mistake, 130 if interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    beside = os.environ.get("RANK", "0") != "0"  # among several processes of torchrun only the first prints
    if words == ["--version"]:
        print(f"ganatomy {version('ganatomy')}")
        return 0
    progress.quiet = "--quiet" in words or "--json" in words or beside
    command_arguments[:] = words
    try:
        with refuse_wrong_words():
            check_command_name(words)
            app.cli(
                args=words,
                prog="ganatomy",
                description="Train generative models on medical images and write synthetic DICOM or NIfTI files.",
                config=(OmitArgPrefixes,),
            )
    except Ended as end:
        if not (beside and isinstance(end, Interrupted)):
            print(f"ganatomy: {end}", file=sys.stderr)
        return end.exit_code
    except KeyboardInterrupt:
        print("ganatomy: Interrupted. Give the same command again to resume where that is possible.", file=sys.stderr)
        return 130
    except RuntimeError as error:
        from ganatomy.machine.device import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        why = str(error).splitlines()[0]
        print(
            f"ganatomy: Memory has run out ({why}); close what else uses it, or give another --device.", file=sys.stderr
        )
        return Refused.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None and error.errno not in DISK_FULL_ERRORS:
            raise  # an error without a path is not the user's mistake
        print(f"ganatomy: {describe_system_error(error)}", file=sys.stderr)
        return Refused.exit_code
    return 0

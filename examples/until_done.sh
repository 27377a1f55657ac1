#!/bin/sh
# Repeat a command until it has finished. After a crash or a lost worker it resumes from its last checkpoint.
#
#     sh examples/until_done.sh ganatomy train hagan STORE --out RUNS --processes 4
#
# The loop ends if the command has finished (exit code 0), refuses its input (2) or was interrupted (130), and after
# TRIES attempts (20 by default).

tries=${TRIES:-20}
code=1
while [ "$tries" -gt 0 ]; do
    "$@"
    code=$?
    case $code in
        0 | 2 | 130) exit $code ;;
    esac
    tries=$((tries - 1))
    echo "until_done: exit code $code, $tries tries left" >&2
    sleep "${PAUSE:-5}"
done
exit "$code"

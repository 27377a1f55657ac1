#!/bin/sh
# Give a command again until it is done: after a crash, a lost worker or a reboot it goes on from its last checkpoint.
#
#     sh examples/until_done.sh ganatomy train hagan STORE --out RUNS --processes 4
#
# It ends when the command is done (0), when what was given cannot be used (2), when it was interrupted (130), and after
# TRIES tries (20 by default).

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

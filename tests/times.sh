#!/bin/sh
# Where the time of `make test` goes. As make's shell, `times.sh step:TARGET -c COMMAND` runs one line of a recipe and notes in the
# file $TIMES what it took; `times.sh` alone prints the table.
set -u

if [ $# = 0 ]; then
  awk '
    # "12m3.4s" in seconds.
    function seconds(text) { split(text, part, /[ms]/); return part[1] * 60 + part[2] }
    NR % 3 == 1 { step = $1; if (!(step in wall)) order[++n] = step; wall[step] += $3 - $2; next }
    # The line between is what the wrapper itself took.
    NR % 3 == 0 { cpu[step] += seconds($1) + seconds($2) }
    END {
      printf "\n%-20s %8s %8s\n", "step", "seconds", "CPU"
      for (i = 1; i <= n; i++) {
        step = order[i]; all += wall[step]; all_cpu += cpu[step]
        if (wall[step] >= 0.5) printf "%-20s %8.0f %8.0f\n", step, wall[step], cpu[step]
      }
      printf "%-20s %8.0f %8.0f\n", "all", all, all_cpu
    }' "$TIMES"
  exit
fi

step=${1#step:}
shift
# What make runs to set a variable is no step; what a make within a step runs belongs to that step.
if [ -z "$step" ] || [ -n "${STEP_UNDER_WAY:-}" ]; then
  exec /bin/sh "$@"
fi
export STEP_UNDER_WAY="$step"
begin=$(date +%s.%N)
/bin/sh "$@"
status=$?
# `times` tells of children only in this shell, not in a pipeline.
{ echo "$step $begin $(date +%s.%N)"; times; } >"$TIMES.$$"
cat "$TIMES.$$" >>"$TIMES"
rm "$TIMES.$$"
exit $status

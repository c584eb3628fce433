#!/bin/sh
# glibc.sh LIMIT FILE…: prints the least glibc that each program or library runs with, and fails when it is above LIMIT. A name
# that is needed weakly counts too: older loaders refuse the version all the same.
set -eu

[ $# -ge 2 ] || { echo 'usage: glibc.sh LIMIT FILE…' >&2; exit 2; }
limit=$1
shift
status=0
for file; do
  least=$(objdump -T "$file" | grep -o 'GLIBC_[0-9][0-9.]*' | sed 's/GLIBC_//' | sort -uV | tail -n 1)
  [ -n "$least" ] || { echo "glibc.sh: $file needs no version of glibc: is it linked statically?" >&2; exit 1; }
  echo "$file: glibc $least"
  if [ "$(printf '%s\n' "$least" "$limit" | sort -V | tail -n 1)" != "$limit" ]; then
    echo "glibc.sh: $file needs glibc $least, expected $limit at most, because of" >&2
    objdump -T "$file" | grep -F "GLIBC_$least)" >&2
    status=1
  fi
done
exit $status

#!/bin/sh
# object.sh OBJECT ARCHIVE…: makes one object of the archive that cargo built, and of others that it needs. Names that adclick.map does not list are local, so
# that they meet nobody else's: every Rust archive brings the same runtime, and two of them clash otherwise.
#
# LD and OBJCOPY name other tools than the system's.
set -eu

[ $# -ge 2 ] || { echo 'usage: object.sh OBJECT ARCHIVE…' >&2; exit 2; }
object=$1
shift
for tool in "${LD:-ld}" "${AR:-ar}" "${OBJCOPY:-objcopy}"; do
  command -v "$tool" >/dev/null || { echo "object.sh: $tool is missing: install binutils" >&2; exit 1; }
done
for archive; do
  [ -f "$archive" ] || { echo "object.sh: no $archive: run cargo build --release -p adclick" >&2; exit 1; }
done

names=$object.names
trap 'rm -f "$names"' EXIT
sed -n 's/^ *\(adclick_[a-z0-9_]*\);$/\1/p' "$(dirname "$0")/adclick.map" >"$names"
# Without groups: a group of the same name in another archive would replace this one's, whose name is local.
# shellcheck disable=SC2046 # names have no spaces
"${LD:-ld}" -r --gc-sections --force-group-allocation $(sed 's/^/-u /' "$names") "$@" -o "$object"
# Names that nothing refers to any more would count as strong references. .llvm*: the standard library's bitcode, over which
# the tools of another LLVM stumble.
"${OBJCOPY:-objcopy}" --keep-global-symbols="$names" --keep-symbols="$names" -w --strip-unneeded-symbol='*' \
  -R .llvmbc -R .llvmcmd "$object"

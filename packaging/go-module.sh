#!/bin/sh
# go-module.sh DIR: writes the Go module as it is published into DIR, which must be empty or not exist: the package, licences, and
# in lib the header and the archives of bindings/go/lib. One module for all platforms: an archive takes 4 MB, and this way
# none can be of another version than the package. Where archives of other platforms were built elsewhere, copy them to
# bindings/go/lib first.
set -eu

[ $# = 1 ] && [ -n "$1" ] || { echo 'usage: go-module.sh DIR (make go-module DIR=…)' >&2; exit 2; }
out=$1
root=$(dirname "$0")/..
if [ -e "$out" ] && [ -n "$(ls -A "$out")" ]; then
  echo "go-module.sh: $out is there and not empty" >&2
  exit 1
fi
ls "$root"/bindings/go/lib/*.a >/dev/null 2>&1 || { echo 'go-module.sh: no archive in bindings/go/lib: run make core' >&2; exit 1; }

mkdir -p "$out/lib"
for file in "$root"/bindings/go/*.go; do
  case $file in
    *_test.go) ;; # they need the repository
    *) cp "$file" "$out/" ;;
  esac
done
cp "$root/bindings/go/go.mod" "$root/bindings/go/README.md" "$root"/LICENSE* "$out/"
cp "$root"/bindings/go/lib/link.go "$root"/bindings/go/lib/adclick.h "$root"/bindings/go/lib/*.a "$out/lib/"
echo "$out: $(sed -n 's/^module //p' "$out/go.mod") $("$root/packaging/version.sh"), archives for" \
  "$(ls "$out/lib" | sed -n 's/^libadclick_\(.*\)\.a$/\1/p' | paste -sd' ')"

#!/bin/sh
# install.sh DIRECTORY: a virtual environment with the wheels of requirements.txt. A wheel that cannot be had is named,
# and the others are installed all the same: the benchmarks say which peers are absent.
set -u
directory=$1
wheels=$(dirname "$0")/requirements.txt
cmp -s "$wheels" "$directory/installed" && exit 0

if ! python3 -m venv "$directory" >"$directory.log" 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv
    fi
    if ! python3 -m venv "$directory" >"$directory.log" 2>&1; then
        echo "no peers from Python: python3 with its venv module is missing (package python3-venv)"
        exit 0
    fi
fi
missing=0
while read -r wheel; do
    echo "installing $wheel"
    if ! "$directory/bin/pip" install --quiet --disable-pip-version-check "$wheel" >"$directory.log" 2>&1; then
        echo "$wheel could not be installed: $(tail -n 1 "$directory.log")"
        missing=1
    fi
done <"$wheels"
# Tried again the next time when something is missing.
[ $missing = 1 ] || cp "$wheels" "$directory/installed"

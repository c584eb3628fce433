#!/bin/sh
# The version, as Cargo.toml has it.
sed -n 's/^version = "\(.*\)"$/\1/p;/^version/q' "$(dirname "$0")/../Cargo.toml"

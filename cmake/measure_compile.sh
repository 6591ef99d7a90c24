#!/bin/sh
# A compiler launcher: runs a compilation and appends "object,user s,system s,peak KiB" to a log.
#   sh measure_compile.sh LOG COMPILER ARGUMENTS…
log=$1
shift
output=
previous=
for argument in "$@"; do
  if [ "$previous" = -o ]; then output=$argument; fi
  previous=$argument
done
if [ -n "$output" ] && [ -x /usr/bin/time ]; then
  exec /usr/bin/time -q -a -o "$log" -f "$output,%U,%S,%M" "$@"
fi
exec "$@"

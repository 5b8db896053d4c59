#!/bin/sh
# First process of the worker's container: keeps the worker running, and the container while it restarts. Machines are processes of the
# container too, and end with it, but not with the worker. SIGHUP starts the worker anew; SIGTERM ends everything.
stopping=
worker=
trap 'stopping=yes; [ -z "$worker" ] || kill -TERM "$worker" 2>/dev/null' TERM INT
trap '[ -z "$worker" ] || kill -TERM "$worker" 2>/dev/null' HUP
while [ -z "$stopping" ]; do
  "$@" &
  worker=$!
  # A signal ends the waiting and not the worker.
  while kill -0 "$worker" 2>/dev/null; do wait "$worker"; done
  worker=
  [ -n "$stopping" ] || sleep 1
done

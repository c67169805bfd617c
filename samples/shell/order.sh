#!/bin/sh
# Runs one transaction at a coordinator with curl alone: order.sh <sku> <quantity>
# COORDINATOR is its URL with the prefix, CALLER_TOKEN_FILE the file with the token of this caller.
# Exit code 0: committed. 1: aborted or refused, nothing was changed. 2: not known yet; KEY and RUN together ask again.
set -eu
case ${1:-}:${2:-} in
  :* | *: | *[!A-Za-z0-9_-]*:* | *:*[!0-9-]*)
    echo "Usage: order.sh <sku> <quantity>: letters, digits, _ and -, and a whole number. Nothing was sent." >&2
    exit 1
    ;;
esac
KEY=${KEY:-order-$(date +%s)-$$-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')}
body=$(printf '{"name":"order","branches":[{"participant":"stock","payload":{"sku":"%s","quantity":%d}}]}' "$1" "$2")

# The token goes through standard input, so that no list of processes shows it. No redirect is followed.
ask() {
  printf 'header = "Authorization: Bearer %s"\n' "$(cat "$CALLER_TOKEN_FILE")" |
    curl --config - --silent --show-error --max-time 20 --max-filesize 100000 "$@" || true
}

# Without a shared log, keys end with the run of the coordinator: a later run refuses the request then.
# RUN is that of an earlier try, whose outcome a refusal does not tell. A key without it is taken for a new order.
mayBeDone=${RUN:+yes}
RUN=${RUN:-$(ask "$COORDINATOR" | sed -n 's/.*"run":"\([^"]*\)".*/\1/p')}
if [ -z "$RUN" ]; then
  echo "The coordinator does not tell its run. Nothing was sent." >&2
  exit 1
fi
try=0
while [ "$try" -lt 10 ]; do
  answer=$(ask --header "Idempotency-Key: $KEY" --header "Dtc-Run: $RUN" \
    --header 'Content-Type: application/json' --data "$body" "$COORDINATOR/run")
  case $answer in
    *'"status":"committed"'*) echo "$answer"; exit 0 ;;
    *'"status":"aborted"'*) echo "$answer"; exit 1 ;;
    *'"code":"DTC_OTHER_RUN"'*) break ;;
    *'"status":4'*) [ -n "$mayBeDone" ] || { echo "$answer"; exit 1; } ;;
  esac
  # No answer, a pending outcome, or no room: the same key, so that nothing runs twice.
  mayBeDone=yes
  try=$((try + 1))
  sleep "${PAUSE:-1}"
done
echo "Not known. Ask again with KEY=$KEY RUN=$RUN. The last answer: $answer" >&2
exit 2

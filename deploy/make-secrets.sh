#!/bin/sh
# Makes the files from which compose.yaml, compose.members.yaml and compose.services.yaml take passwords and tokens. Existing
# files stay unchanged.
#
#   deploy/make-secrets.sh [folder]
#
# The programs in the containers run as other users and must read their files. So every user may read the files, and only
# you may enter the folder.
set -eu
umask 022
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

# 32 characters that need no quoting anywhere, 192 bits.
secret() {
  head -c 24 /dev/urandom | base64 | tr '+/' '-_'
}

# keep FILE TEXT
keep() {
  if [ ! -s "$1" ]; then
    printf '%s\n' "$2" >"$1.unfinished"
    mv "$1.unfinished" "$1"
  fi
}

for service in order:orders inventory:inventory payment:payments decision-log:decisions; do
  name=${service%:*}
  keep "$name-database-password" "$(secret)"
  keep "$name-database-url" "postgres://shop:$(cat "$name-database-password")@$name-db:5432/${service#*:}"
done
keep operator-tokens "on-call:$(secret)"
keep prometheus-token "$(secret)"
keep reader-tokens "prometheus:$(cat prometheus-token)"
keep grafana-password "$(secret)"
keep member-tokens "$(secret)"

# The hops between the processes of compose.services.yaml: a token for each.
for file in gateway-caller-token order-caller-token carrier-token coordinator-token; do
  keep "$file" "$(secret)"
done
for service in order inventory payment; do
  keep "$service-participant-token" "$(secret)"
done
keep caller-tokens "$(for name in gateway order; do echo "$name:$(cat "$name-caller-token")"; done)"
keep participant-tokens "$(for name in order inventory payment; do echo "$name:$(cat "$name-participant-token")"; done)"

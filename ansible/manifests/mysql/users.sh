#!/usr/bin/env bash
# Creates the databases and users that `grants.sh` of the server names, and gives each user the password that its
# Secret holds now. It can run again at any time. Reads ROOT/password, ROOT/previous (after a change), USERS/NAME.
set -euo pipefail
umask 077

root=${ROOT:-/run/readmission/root}
users=${USERS:-/run/readmission/users}
login=$(mktemp)
trap 'rm -f "$login"' EXIT

die() { echo "users: $1" >&2; exit 1; }

# A password becomes a word of SQL: nothing in it may end that word.
password() {
  local value
  value=$(<"$1") || die "$1 cannot be read"
  [[ $value =~ ^[A-Za-z0-9._~+/=-]{16,}$ ]] || die "$1: at least 16 of A-Z a-z 0-9 . _ ~ + / = -"
  printf %s "$value"
}

# --defaults-extra-file keeps the password out of the list of processes.
as_root() {
  printf '[client]\nhost=%s\nport=%s\nuser=root\npassword="%s"\n' \
    "${MYSQL_HOST:-mysql}" "${MYSQL_PORT:-3306}" "$1" >"$login"
  mysql --defaults-extra-file="$login" --connect-timeout=5 --batch
}

now=$(password "$root/password")
for ((try = 1; ; try++)); do
  if answer=$(as_root "$now" <<<'SELECT 1' 2>&1); then
    break
  elif [[ $answer == *"Access denied"* && -s $root/previous ]]; then
    before=$(password "$root/previous")
    as_root "$before" <<SQL
ALTER USER IF EXISTS 'root'@'localhost' IDENTIFIED BY '$now';
ALTER USER IF EXISTS 'root'@'%' IDENTIFIED BY '$now';
SQL
    echo "users: root has its new password"
    break
  elif [[ $answer == *"Access denied"* || $try -ge ${TRIES:-60} ]]; then
    die "MySQL refuses root: $answer"
  fi
  sleep 5
done

# user NAME 'requirements': creates it, or changes its password.
user() {
  local secret
  secret=$(password "$users/$1") || exit 1
  echo "CREATE USER IF NOT EXISTS '$1'@'%' IDENTIFIED BY '$secret' REQUIRE ${2:-NONE};"
  echo "ALTER USER '$1'@'%' IDENTIFIED BY '$secret' REQUIRE ${2:-NONE};"
}

# The function `grants`, next to this file.
# shellcheck source=/dev/null
source "$(dirname "$0")/grants.sh"

# First into a variable: a secret that cannot be read must stop the script, not only its part of a pipe.
statements=$(grants) || exit 1
as_root "$now" <<<"$statements"
echo "users: databases, users and rights are in place"

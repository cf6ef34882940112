#!/bin/sh
# What the tests need besides Python: Chromium for the browser tests, PostgreSQL for the second
# database. As root on Debian they are installed; otherwise a line says what will be skipped.
set -u
missing=""
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing for the tests:$missing"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null && exit 0
fi
echo "Not on this machine:$missing. Tests that need them will be skipped; install with: sudo apt-get install$missing"

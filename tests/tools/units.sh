#!/bin/sh
# SPDX-License-Identifier: MIT
# The unit files of systemd are valid, with the drop-in files that
# docs/DEPLOYING.md makes too, and the service is confined.  Reads files only: no
# systemd is started or asked.  Run from the build folder.

top=$(cd "$(dirname "$0")/../.." && pwd)
command -v systemd-analyze >/dev/null || { echo 'systemd-analyze is not installed'; exit 77; }
systemd-analyze --help | grep -q -- --offline || {
	echo 'systemd-analyze is too old to check files'; exit 77
}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
rc=0

cp "$top/server/weir-server@.socket" "$work" || exit 99
# The program is not installed yet.
sed "s|^\(Exec[A-Za-z]*\)=[^ ]*|\1=$PWD/server/weir-server|" \
	'server/weir-server@.service' >"$work/weir-server@.service" || exit 99

# The files that the page makes, in the folder of this test.
sed -n '/^```sh$/,/^```$/p' "$top/docs/DEPLOYING.md" |
	sed -n '/^mkdir -p \/etc\/systemd/p; /^cat >/,/^END$/p' |
	sed "s|/etc/systemd/system|$work|g" >"$work/commands"
if grep -E '^(mkdir|cat) .*/etc' "$work/commands"; then
	echo 'docs/DEPLOYING.md writes elsewhere'; exit 1
fi
sh -e "$work/commands" || exit 1
for file in weir-server@echo.socket.d/address.conf \
	weir-server@echo.service.d/options.conf \
	weir-server@echo-status.socket.d/address.conf \
	weir-server@echo-tls.service.d/options.conf; do
	[ -s "$work/$file" ] || {
		echo "docs/DEPLOYING.md makes no $file"; rc=1
	}
done
SYSTEMD_UNIT_PATH=$work:
export SYSTEMD_UNIT_PATH

grep -q '^ExecStart=/.*/weir-server ' 'server/weir-server@.service' || {
	echo 'the service does not name its program'; rc=1
}
grep -q '^ExecReload=/.*/weir-server ctl .* reload$' 'server/weir-server@.service' || {
	echo 'the service does not tell whether a reload has succeeded'; rc=1
}
for unit in 'weir-server@echo.service' 'weir-server@echo.socket' \
	'weir-server@echo-status.socket' 'weir-server@echo-tls.service'; do
	systemd-analyze verify --man=no "$work/$unit" 2>&1 |
		grep -F weir-server && { echo "$unit has errors"; rc=1; }
done
systemd-analyze security --offline=yes --threshold=4 \
	"$work/weir-server@echo.service" >"$work/exposure" 2>&1 || {
	tail -n 60 "$work/exposure"; rc=1
}
tail -n 1 "$work/exposure"
exit $rc

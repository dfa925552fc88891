#!/bin/sh
# SPDX-License-Identifier: MIT
# rpm.sh : the packages of packaging/weir.spec, from what "make dist" makes.
# Together they have all that "make install" installs, or rpmbuild fails; the
# programs in them start, their removal stops the service, and an upgrade restarts
# it.  Runs in a build folder.

top=$(cd "${srcdir:-.}" && pwd) || exit 99
command -v rpmbuild >/dev/null || {
	echo 'SKIPPED: rpmbuild is not installed'
	exit 77
}
work=$(mktemp -d) || exit 99
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

fail()
{
	echo "FAIL: $*"
	exit 1
}

version=$(sed -n 's/^PACKAGE_VERSION = //p' Makefile)
mkdir "$work/SOURCES" "$work/root"
make -s dist >"$work/dist.log" 2>&1 &&
	mv "weir-$version.tar.xz" "$work/SOURCES" || {
	tail -n 40 "$work/dist.log"
	fail 'make dist'
}
# What it needs to build is looked for by its configure; the packages have other
# names here.  Fedora's flags ask for link-time optimization.
rpmbuild -bb --noclean --nodeps --define "_topdir $work" \
	--define 'optflags -O2 -g -flto=auto' \
	--define '_unitdir /usr/lib/systemd/system' \
	"$top/packaging/weir.spec" >"$work/rpm.log" 2>&1 || {
	tail -n 40 "$work/rpm.log"
	fail 'rpmbuild'
}

! readelf -SW "$work/BUILD/weir-$version"/lib/.libs/*.o | grep -q '\.gnu\.lto' ||
	fail 'the library is built for link-time optimization'

query()
{
	rpm --dbpath "$work/db" --query --nosignature "$@"
}

cd "$work"/RPMS/* || exit 99
found=$(query --queryformat '%{NAME} %{VERSION}\n' --package ./*.rpm | sort)
wanted=$(for name in libweir libweir-devel libweir-tls libweir-tls-devel weir
do
	echo "$name $version"
done)
[ "$found" = "$wanted" ] || fail "the packages are $found"
scripts=$(query --scripts --package "weir-$version"-*.rpm)
for command in stop daemon-reload try-restart; do
	echo "$scripts" | grep -q "systemctl $command" ||
		fail "no script does: systemctl $command"
done

for package in ./*.rpm; do
	rpm2archive "$package" && tar -C "$work/root" -xf "$package.tgz" ||
		fail "$package"
done
cd "$work/root/usr" || exit 99
[ -z "$(find . -name '*.a' -o -name '*.la')" ] || fail 'archives of libtool'
for file in LOAD_JSON.md examples/scripts/redis.load; do
	[ -f "share/doc/weir/$file" ] || fail "no $file"
done
for program in weir-client weir-server; do
	said=$(LD_LIBRARY_PATH=$PWD/lib64:$PWD/lib "bin/$program" --version |
		head -n 1)
	case $said in
	*"$version"*) ;;
	*) fail "$program --version: $said" ;;
	esac
done
echo "$found"

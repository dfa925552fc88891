#!/bin/sh
# SPDX-License-Identifier: MIT
# release.sh : a rehearsal of a release: the commands of docs/RELEASING.md in a
# clone, with a key of their own.  The tarball that "anyone can make" is the same.
# Controls: tools/release fails without one of its tools, and tools/abi tells that
# a member of a structure is not where the record has it.  Runs in a build folder.

top=$(cd "${srcdir:-.}" && pwd) || exit 99
work=$(mktemp -d) || exit 99
export GNUPGHOME="$work/key"
trap 'gpgconf --kill all 2>/dev/null; rm -rf "$work"' EXIT

fail()
{
	echo "FAIL: $*"
	exit 1
}

# block N: the N-th block of commands of the page.
block()
{
	awk -v want="$1" '
	/^```sh$/ { inside = ++n == want; next }
	/^```$/ { inside = 0 }
	inside' "$top/docs/RELEASING.md" | sed "s|FOLDER|$work/release|"
}

git="git -c safe.directory=*"
$git -C "$top" rev-parse --quiet --verify HEAD >/dev/null || {
	echo 'SKIPPED: this is not a clone'
	exit 77
}
for tool in gpg reuse abidiff; do
	command -v $tool >/dev/null || {
		echo "SKIPPED: $tool is not installed"
		exit 77
	}
done
version=$(sed -n 's/^PACKAGE_VERSION = //p' Makefile)
[ "$(block 1 | wc -l) $(block 2 | wc -l)" = '3 4' ] && [ -z "$(block 3)" ] ||
	fail 'docs/RELEASING.md has other commands'
block 1 | grep -q "git tag -s v$version " || fail "it does not tag v$version"

mkdir -m 700 "$GNUPGHOME" && $git clone -q "$top" "$work/clone" || exit 99
cd "$work/clone" || exit 99
git config user.name weir && git config user.email weir@example.org
git tag -d "v$version" 2>/dev/null
gpg --batch --quiet --passphrase '' --quick-generate-key \
	'weir <weir@example.org>' ed25519 sign never || fail 'no key'
mkdir -p "$work/release/one" && touch "$work/release/one/mine" || exit 99
# Negative control: without one of its tools there is no release.
for missing in reuse abidiff; do
	mkdir "$work/few" || exit 99
	for tool in dirname git reuse abidiff; do
		[ $tool = $missing ] ||
			ln -s "$(command -v $tool)" "$work/few/$tool" || exit 99
	done
	said=$(PATH=$work/few /bin/sh tools/release "$work/none" 2>&1) &&
		fail "tools/release succeeds without $missing"
	[ "$said" = "release: $missing is not installed" ] ||
		fail "without $missing tools/release says: $said"
	[ ! -e "$work/none" ] || fail "it has made something without $missing"
	rm -r "$work/few"
done
echo 'no release without its tools: passed'

sh -ex -c "$(block 1)" || fail 'the commands that make a release'
[ -f "$work/release/weir-$version.spdx" ] || fail 'there is no SBOM'
[ -f "$work/release/one/mine" ] || fail 'a folder that was there is gone'
name=weir-$version.tar.xz
gpg --verify "$work/release/$name.asc" "$work/release/$name" ||
	fail 'the signature of the tarball'
sh -ex -c "$(block 2)" >"$work/again.log" 2>&1 || {
	tail -n 40 "$work/again.log"
	fail 'the commands that check a release'
}
[ "$(tail -n 1 "$work/again.log")" = "$(cat "$work/release/$name.sha256")" ] ||
	fail 'anyone makes another tarball'
echo 'the commands of docs/RELEASING.md: passed'
cd "$OLDPWD" || exit 99

mkdir "$work/lib" "$work/tls" "$work/tools" &&
	cp "$top"/lib/weir.h "$top"/lib/weir.abi* "$work/lib" &&
	cp "$top"/tls/weir-tls.h "$top"/tls/weir-tls.abi "$work/tls" &&
	cp "$top/tools/abi" "$work/tools" || exit 99
"$work/tools/abi" . || exit
sed -i "/class-decl name='weir_config'/,/<\/class-decl>/ \
	s/offset-in-bits='64'/offset-in-bits='96'/" "$work/lib/weir.abi"
cmp -s "$top/lib/weir.abi" "$work/lib/weir.abi" && exit 99
if "$work/tools/abi" . >"$work/moved.log" ||
		! grep -q 'struct weir_config' "$work/moved.log"; then
	fail 'tools/abi does not tell that a member has moved'
fi
echo 'a member that has moved is told: passed'

#!/bin/sh
# SPDX-License-Identifier: MIT
# model.sh [large|all]: the models in tests/model.  Spin goes through all their
# states and finds nothing wrong, it finds each defect that they hold on
# request, and the functions that they say they stand for exist.  Large: the
# larger configurations instead, of up to ten million states; all: these and
# one of 5 million.

cd "${srcdir:-$(dirname "$0")/../..}" || exit 99
top=$PWD
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
failed=0

fail()
{
	echo "FAIL: $*"
	failed=1
}

# "step file functions" in the first comment: both must be there.
check_names()
{
	sed -n '/^ \*\/$/q; s/^ \*\t\([a-z_]*\)\t.*\(lib\/[a-z_.]*\)/\1 \2/p' \
		"$1" >"$work/names"
	[ -s "$work/names" ] || fail "$1 names no functions"
	while read -r step file functions; do
		grep -Eq "^(inline|active .*proctype|proctype) *$step\(|proctype $step\(" "$1" ||
			fail "$1: there is no step '$step' in it"
		for f in $functions; do
			grep -Eq "(^|[ *])$f\(" "$file" ||
				fail "$1: there is no $f() in $file"
		done
	done <"$work/names"
}

# explore OPTIMIZE LIMITS MODEL DEFINES...: all states within these; 0: nothing
# is wrong with any state there is.
explore()
{
	optimize=$1 limits=$2 model=$3
	shift 3
	rm -rf "$work/pan"
	mkdir "$work/pan" && cd "$work/pan" &&
		spin -a "$@" "$top/$model" >log 2>&1 &&
		${CC:-cc} "$optimize" -w -DSAFETY -DCOLLAPSE \
			-DMEMLIM=2000 -o pan pan.c >>log 2>&1 ||
		{ cat log; exit 99; }
	./pan $limits >result 2>&1
	cd "$top" || exit 99
	grep -q '^State-vector.*errors: 0' "$work/pan/result" &&
		! grep -Eq 'max search depth too small|MEMLIM|out of memory' \
			"$work/pan/result"
}

holds()
{
	if explore -O2 '-m200000 -w24' "$@"; then
		echo "$*: $(sed -n 's/^ *\([0-9]* states\), stored.*/\1/p' \
			"$work/pan/result"), nothing wrong"
	else
		fail "$*"
		cat "$work/pan/result"
	fi
}

finds()
{
	explore -O0 '-m400 -w20' "$@" && fail "$*: the defect was not found"
	grep -E '^pan:[0-9]*: (assertion violated|invalid end state)' \
		"$work/pan/result" >/dev/null ||
		{ fail "$*: no result"; cat "$work/pan/result"; }
}

for model in tests/model/*.pml; do
	check_names "$model"
done
if ! command -v spin >/dev/null; then
	echo 'SKIPPED: the models are not explored: there is no spin here'
	[ $failed = 0 ] || exit 1
	exit 77
fi

owner=tests/model/owner.pml
sched=tests/model/scheduler.pml
session=tests/model/session.pml
small='-DWORKERS=2 -DNEW=1 -DEVENTS=1 -DWAKES=0 -DLOOK_APART'
batch='-DWORKERS=2 -DNEW=0 -DEVENTS=2 -DWAKES=0 -DLOOK_APART'
# one NAME=1...: a session with these alone, unless told otherwise.
one()
{
	only=
	for name in LIVES=1 SHARERS=0 INPUTS=0 ANSWERS=0 CALLS=0 TURNS=0 MOVES=0
	do
		case " $* " in
		*" ${name%=*}="*) ;;
		*) only="$only -D$name" ;;
		esac
	done
	for name; do
		only="$only -D$name"
	done
}
if [ $# -gt 0 ]; then
	holds $owner
	one INPUTS=1 CALLS=1
	holds $session $only
	one LIVES=2 SHARERS=1 TURNS=1 MOVES=1
	holds $session $only
	holds $sched -DWORKERS=2 -DNEW=0 -DEVENTS=1 -DWAKES=1
	holds $sched -DWORKERS=3 -DNEW=0 -DEVENTS=2 -DWAKES=0 -DAGAIN=0
	[ "$1" = large ] ||
		holds $sched -DWORKERS=3 -DNEW=1 -DEVENTS=1 -DWAKES=0 -DAGAIN=0
	exit $failed
fi
for bug in 1 2 3 4 5 6 7 8; do
	finds $owner -DWORKERS=2 -DBUG=$bug
done
for bug in 6 7; do
	finds $sched $small -DBUG=$bug
done
for bug in 8 9; do
	finds $sched $batch -DAGAIN=0 -DBUG=$bug
done
for bug in 1 2 3 4 5 10 11; do
	finds $sched $small -DAGAIN=0 -DBUG=$bug
done
finds $sched $small -DAGAIN=0 -DWATCHES=1 -DBUG=12
for bug in '1 INPUTS=1' '2 CALLS=1' 3 '4 CALLS=1' '5 SHARERS=1' '6 ANSWERS=1' \
	'7 CALLS=1' '8 TURNS=1' '9 ANSWERS=1 LIVES=2' '10 CALLS=1'; do
	one ${bug#${bug%% *}}
	finds $session $only -DBUG=${bug%% *}
done
for with in INPUTS=1 ANSWERS=1 CALLS=1 'TURNS=1 MOVES=1' 'LIVES=2 SHARERS=1'; do
	one $with
	holds $session $only
done
holds $owner -DWORKERS=2
holds $sched $small -DHANDOFF=2
holds $sched $batch -DHANDOFF=2
holds $sched $small -DAGAIN=0 -DWATCHES=1
holds $sched -DWORKERS=2 -DNEW=2 -DEVENTS=0 -DWAKES=0
exit $failed

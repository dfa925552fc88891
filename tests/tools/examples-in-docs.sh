#!/bin/sh
# SPDX-License-Identifier: MIT
# What the documents show of examples is there.  README.md and README.zh-CN.md
# show examples/echo.c whole.  A code block that begins with "```c FILE", "```cpp
# FILE" or "```python FILE" is a run of lines of that file, byte for byte; the last
# column of a table in docs/SOCKET_CALLS.md stands in examples/calls.c, but for
# white space; calls are those of weir.h; each file of a guide is shown in it.

cd "$(dirname "$0")/../.." || exit 99
rc=0

for doc in README.md README.zh-CN.md; do
	awk '
	/^```/ {
		if (found)
			exit
		block = !block
		text = ""
		next
	}
	block {
		text = text $0 "\n"
		if ($0 == "/* examples/echo.c: complete */")
			found = 1
	}
	END {
		if (found)
			printf "%s", text
	}' $doc | diff - examples/echo.c || {
		echo "$doc (<) and examples/echo.c (>) differ"; rc=1
	}
done

# commands FILE: those of its blocks, without comments.
commands()
{
	sed -n '/^```sh$/,/^```$/p' "$1" | sed 's/ *#.*//'
}

# figures FILE: the numbers of its tables.
figures()
{
	grep '^|' "$1" | grep -oE '[0-9]+([.,][0-9]+)*'
}
[ "$(figures README.md)" = "$(figures README.zh-CN.md)" ] || {
	echo 'README.md and README.zh-CN.md have different figures'; rc=1
}
[ "$(commands README.md)" = "$(commands README.zh-CN.md)" ] || {
	echo 'README.md and README.zh-CN.md have different commands'; rc=1
}

for doc in docs/*.md; do
	awk -v doc="$doc" '
	function whole(file,    text, line) {
		while ((getline line < file) > 0)
			text = text line "\n"
		close(file)
		return text
	}
	/^```/ && inside {
		if (index("\n" whole(file), "\n" block) == 0) {
			print doc ":" from ": not so in " file
			bad = 1
		}
		inside = 0
		next
	}
	/^```(c|cpp|python) / {
		inside = 1
		file = $2
		from = FNR
		block = ""
		next
	}
	/^```c(pp)?$/ {
		print doc ":" FNR ": a program of no file"
		bad = 1
	}
	inside {
		block = block $0 "\n"
	}
	END {
		exit bad
	}' "$doc" || rc=1
done

lines=0
while IFS= read -r line; do
	lines=$((lines + 1))
	tr '\n\t' '  ' <examples/calls.c | tr -s ' ' |
		grep -qF -- "$(printf '%s' "$line" | tr -s ' ')" || {
		echo "docs/SOCKET_CALLS.md: not in examples/calls.c: $line"
		rc=1
	}
done <<TEXT
$(sed -n 's/^|.*| `\(.*\)` |$/\1/p' docs/SOCKET_CALLS.md)
TEXT
[ $lines -ge 30 ] || { echo "docs/SOCKET_CALLS.md: only $lines lines"; rc=1; }

for name in $(grep -ohE '\bweir_[a-z_]+\(\)' docs/*.md | tr -d '()' | sort -u); do
	grep -q "\b$name(" lib/weir.h tls/weir-tls.h || {
		echo "docs: there is no $name in weir.h or weir-tls.h"; rc=1
	}
done
for file in examples/cookbook/*.c; do
	grep -qF "\`\`\`c $file" docs/COOKBOOK.md || {
		echo "docs/COOKBOOK.md: shows nothing of $file"; rc=1
	}
done
for file in examples/tutorial/*.c; do
	grep -qF "\`\`\`c $file" docs/TUTORIAL.md || {
		echo "docs/TUTORIAL.md: shows nothing of $file"; rc=1
	}
done
for file in examples/from_python/*.c; do
	grep -qF "\`\`\`c $file" docs/FROM_PYTHON.md || {
		echo "docs/FROM_PYTHON.md: shows nothing of $file"; rc=1
	}
done
exit $rc

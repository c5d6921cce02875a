#!/bin/bash
# SPDX-License-Identifier: MIT
# Checks what docs/ says about places against the tree. TAP output. tests/style_test.sh shows that
# each check can fail.
set -u
cd "$(dirname "$0")/.." || exit 1

verdict() { # text findings
	if [ -z "$2" ]; then
		echo "ok - tour: $1"
	else
		echo "not ok - tour: $1"
		printf '%s\n' "$2" | sed 's/^/#   /'
	fi
}

rows_of_tour() { grep -E '^\| *[0-9]+ *\|' docs/TOUR.md; }

# Rows "| N | step | `file` | `function` | thread |".
check_rows() {
	rows_of_tour | awk -F'|' '{ gsub(/[` ]/, "", $4); gsub(/[`() ]/, "", $5); print $4, $5 }' |
		while read -r file function; do
			[ -f "$file" ] || { echo "$file does not exist"; continue; }
			grep -qE "^[a-z].*\b$function\(" "$file" || echo "$file has no function $function"
		done
	[ "$(rows_of_tour | wc -l)" -ge 10 ] || echo "docs/TOUR.md has fewer than 10 rows"
}

# What stands in `backticks` and has a slash is a file, or with a slash at its end a folder.
check_paths() {
	grep -oHE '`[a-z][a-zA-Z0-9_.-]*/[a-zA-Z0-9_./-]*`' docs/TOUR.md docs/THREADS.md \
		docs/adr/0004-control-plane-locks.md | tr -d '`' | sort -u | while IFS=: read -r doc path; do
		[ -e "$path" ] || echo "$doc: $path does not exist"
	done
}

# files_with PATTERN DOC: the product's files with it that DOC does not name.
unnamed() {
	git grep -lE --untracked "$1" -- 'base/*.[ch]' 'common/*.[ch]' 'host/*.[ch]' 'hyper/*.[ch]' |
		while read -r file; do
			grep -qF "\`$file\`" "$2" || echo "$2 does not name $file"
		done
}

check_locks() {
	unnamed '^[[:space:]]+pthread_(mutex|rwlock|spinlock)_t [a-z]|^static pthread_(mutex|rwlock|spinlock)_t ' \
		docs/adr/0004-control-plane-locks.md
}

check_threads() {
	unnamed 'pthread_create\(&' docs/THREADS.md | grep -v 'name base/loop.c$'
}

verdict "$(rows_of_tour | wc -l) rows of docs/TOUR.md are true" "$(check_rows)"
verdict "places that docs name exist" "$(check_paths)"
verdict "ADR 0004 lists every lock" "$(check_locks)"
verdict "docs/THREADS.md lists every thread" "$(check_threads)"

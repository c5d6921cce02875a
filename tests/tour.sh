#!/bin/bash
# SPDX-License-Identifier: MIT
# Checks that every row "| N | ... | `file` | `function` | thread |" of docs/TOUR.md still exists.
set -u
cd "$(dirname "$0")/.." || exit 1

missing=$(awk -F'|' '/^\| *[0-9]+ *\|/ {
	gsub(/[` ]/, "", $4); gsub(/[`() ]/, "", $5)
	print $4, $5
}' docs/TOUR.md | while read -r file function; do
	[ -f "$file" ] || { echo "$file does not exist"; continue; }
	grep -qE "^[a-z].*\b$function\(" "$file" || echo "$file has no function $function"
done)

rows=$(grep -cE '^\| *[0-9]+ *\|' docs/TOUR.md)
if [ -z "$missing" ] && [ "$rows" -ge 10 ]; then
	echo "ok - tour: $rows rows of docs/TOUR.md exist"
else
	echo "not ok - tour: docs/TOUR.md ($rows rows)"
	printf '%s\n' "$missing" | sed 's/^/#   /'
fi

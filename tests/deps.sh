#!/bin/bash
# SPDX-License-Identifier: MIT
# Checks every include line against deps.txt: who may include whom. TAP output.
set -u
cd "$(dirname "$0")/.." || exit 1

violations=$(git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.S' |
	xargs grep -HnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]' |
	awk -F: '
	# deps.txt: "place: allowed places"; the longest matching place rules a file.
	FILENAME == "deps.txt" {
		line = $0
		sub(/#.*/, "", line)
		if (line !~ /:/) next
		place = line; sub(/:.*/, "", place)
		allowed[place] = line; sub(/^[^:]*:/, "", allowed[place])
		next
	}
	function rule_of(file,   best, place) {
		best = ""
		for (place in allowed)
			if ((file == place || index(file, place "/") == 1) && length(place) > length(best))
				best = place
		return best
	}
	# Where an include leads: the folder behind each -I prefix.
	function target_of(include) {
		if (include ~ /^hv\//) return "hv"
		if (include ~ /^(ring|proto)\//) return "common/" substr(include, 1, index(include, "/") - 1)
		if (include ~ /^hyper\//) return "hyper"
		if (include ~ /^(guest|tests|bench)\//) { sub(/\/[^\/]*$/, "", include); return include }
		if (include ~ /^[a-z-]+\//) return "host/" substr(include, 1, index(include, "/") - 1)
		return ""
	}
	{
		file = $1
		rest = $0; sub(/^[^:]*:[^:]*:/, "", rest)
		if (rest ~ /<linux\/kvm\.h>/ && file !~ /^(hyper|tests|bed)\//)
			print file ":" $2 ": only hyper/ (and tests, bed) may include <linux/kvm.h>"
		if (rest !~ /"/) next
		include = rest; sub(/^[^"]*"/, "", include); sub(/".*/, "", include)
		target = target_of(include)
		place = rule_of(file)
		if (target == "" || place == "") {
			if (place == "" && file !~ /^include\/hv\//)
				print file ":" $2 ": no rule in deps.txt covers this file"
			next
		}
		if (allowed[place] ~ /\*/ || index(file, target "/") == 1) next
		if (target == "hv" && file ~ /^include\/hv\//) next
		n = split(allowed[place], list, " ")
		for (i = 1; i <= n; i++)
			if (target == list[i] || index(target, list[i] "/") == 1) next
		print file ":" $2 ": " place " may not include " include " (" target ")"
	}' deps.txt - | sort -u)

if [ -z "$violations" ]; then
	echo "ok - deps: includes follow deps.txt"
else
	echo "not ok - deps: includes follow deps.txt"
	printf '%s\n' "$violations" | sed 's/^/#   /'
fi

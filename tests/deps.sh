#!/bin/bash
# SPDX-License-Identifier: MIT
# Checks every include line against deps.txt: who may include whom, and that deps.txt has no dead
# rule. TAP output. tests/style_test.sh shows that it can fail.
set -u
cd "$(dirname "$0")/.." || exit 1

violations=$(git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.S' |
	xargs grep -HnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]' |
	awk -F: '
	# deps.txt: "place: allowed folders"; the longest matching place rules a file.
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
	# The folder an include leads to, behind each -I prefix.
	function target_of(include,   folder) {
		folder = include; sub(/\/?[^\/]*$/, "", folder)
		if (folder ~ /^(ring|proto|agent)$/) return "common/" folder
		if (folder == "" || folder ~ /^(hv|base|hyper\/.*|guest\/.*|tests\/.*|bench\/.*)$/) return folder
		return "host/" folder
	}
	# A folder allows itself; "folder/..." allows what is below it, too.
	function allows(entry, target) {
		if (entry == target) return 1
		return sub(/\/\.\.\.$/, "", entry) && (entry == target || index(target, entry "/") == 1)
	}
	{
		file = $1
		rest = $0; sub(/^[^:]*:[^:]*:/, "", rest)
		if (rest ~ /<linux\/kvm\.h>/ && file !~ /^(hyper\/kvm|tests|bed)\//)
			print file ":" $2 ": only hyper/kvm/ (and tests, bed) may include <linux/kvm.h>"
		place = rule_of(file)
		ruled[place] = 1
		folder = file; sub(/^include\//, "", folder)
		while (sub(/\/[^\/]*$/, "", folder)) exists[folder] = 1
		if (rest !~ /"/) next
		include = rest; sub(/^[^"]*"/, "", include); sub(/".*/, "", include)
		target = target_of(include)
		if (target == "" || place == "") {
			if (place == "" && file !~ /^include\/hv\//)
				print file ":" $2 ": no rule in deps.txt covers this file"
			next
		}
		home = file; sub(/\/[^\/]*$/, "", home)
		if (allowed[place] ~ /\*/ || target == home) next
		if (target == "hv" && file ~ /^include\/hv\//) next
		n = split(allowed[place], list, " ")
		for (i = 1; i <= n; i++)
			if (allows(list[i], target)) next
		print file ":" $2 ": " place " may not include " include " (" target ")"
	}
	# A rule without files, or one that allows a folder that is no more.
	END {
		for (place in allowed) {
			if (!ruled[place]) print "deps.txt: " place ": no file includes anything there"
			n = split(allowed[place], list, " ")
			for (i = 1; i <= n; i++) {
				folder = list[i]; sub(/\/\.\.\.$/, "", folder)
				if (folder != "*" && !exists[folder])
					print "deps.txt: " place ": there is no folder " list[i]
			}
		}
	}' deps.txt - | sort -u)

if [ -z "$violations" ]; then
	echo "ok - deps: includes follow deps.txt"
else
	echo "not ok - deps: includes follow deps.txt"
	printf '%s\n' "$violations" | sed 's/^/#   /'
fi

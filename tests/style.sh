#!/bin/bash
# SPDX-License-Identifier: MIT
# Style as a set of named checks, one TAP line each.
set -u
cd "$(dirname "$0")/.." || exit 1

files() { # pattern... : tracked and new files that exist
	git ls-files --cached --others --exclude-standard -- "$@" | sort -u | while read -r f; do
		[ -f "$f" ] && printf '%s\n' "$f"
	done
}

verdict() { # name, findings
	if [ -z "$2" ]; then
		echo "ok - style: $1"
	else
		echo "not ok - style: $1"
		printf '%s\n' "$2" | head -n 30 | sed 's/^/#   /'
	fi
}

check_format() {
	files '*.c' '*.h' | xargs clang-format --dry-run -Werror 2>&1 | grep -E 'error:' | cut -d: -f1,2
}

check_spdx() {
	files '*.c' '*.h' '*.S' '*.sh' '*.asl' Makefile 'bed/*' 'tests/run' 'tests/*/run' 'bench/*/run' |
		grep -vE '\.(md|txt)$' | while read -r f; do
		head -n 5 "$f" | grep -q 'SPDX-License-Identifier' || echo "$f"
	done
}

# Wire headers and what is shared with the kernel are dual licensed; host code is MIT.
check_licences() {
	files 'include/hv/*.h' 'common/*.[ch]' 'common/*/*.[ch]' | while read -r f; do
		head -n 1 "$f" | grep -q 'GPL-2.0 OR MIT' || echo "$f: must be GPL-2.0 OR MIT"
	done
	files 'base/*.[ch]' 'host/*.[ch]' 'hyper/*.[ch]' | while read -r f; do
		head -n 1 "$f" | grep -qE 'SPDX-License-Identifier: MIT( \*/)?$' || echo "$f: must be MIT"
	done
}

check_length() {
	files '*.c' '*.h' | xargs wc -l | awk '$2 != "total" && $1 > 700 { print $2 ": " $1 " lines" }'
}

# Unbounded string functions and process exits outside main.c; sleeps anywhere.
check_forbidden() {
	files '*.c' '*.h' | grep -v '^bed/' |
		xargs grep -nE '\b(strcpy|strcat|sprintf|vsprintf|gets|alloca|usleep|nanosleep)\(|[^_a-z]sleep\(' |
		grep -v '^tests/flat/'
	files 'base/*.c' 'host/*.c' 'hyper/*.c' 'common/*.c' | grep -v '^host/cli/main.c$' |
		xargs grep -nE '\b(exit|_exit|abort)\(' | grep -vE '(debug_|_)exit\('
}

check_whitespace() {
	files '*.c' '*.h' '*.S' '*.sh' Makefile 'bed/*' 'docs/*' '*.md' | xargs grep -nE '[[:space:]]+$' | cut -d: -f1,2
}

check_cppcheck() {
	files 'base/*.c' 'host/*.c' 'hyper/*.c' 'common/*.c' 'guest/*.c' |
		xargs cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr \
			--suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches \
			--error-exitcode=0 -Iinclude -Icommon -Ihost -I. -DENLITE_VERSION='"x"' 2>&1 | grep -E ': (error|warning|portability):'
}

check_folder_readmes() {
	for d in base common/ring common/proto host/cli host/config host/disk host/mgmt host/scsi host/vm \
		host/vmbus-host host/vsp host/vsp/null host/vsp/storvsp hyper hyper/kvm hyper/hv hyper/boot \
		hyper/dev bed bench tests include/hv guest; do
		[ -f "$d/README.md" ] || { echo "$d/README.md is missing"; continue; }
		[ "$(wc -l <"$d/README.md")" -le 30 ] || echo "$d/README.md has more than 30 lines"
	done
}

verdict "clang-format" "$(check_format)"
verdict "SPDX line in every file" "$(check_spdx)"
verdict "licences by folder" "$(check_licences)"
verdict "files of at most 700 lines" "$(check_length)"
verdict "no forbidden functions" "$(check_forbidden)"
verdict "no trailing white space" "$(check_whitespace)"
verdict "cppcheck" "$(check_cppcheck)"
verdict "a README in every folder" "$(check_folder_readmes)"

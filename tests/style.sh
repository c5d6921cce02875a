#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Style as a set of named checks, one TAP line each. tests/style_test.sh shows that each can fail.
#   tests/style.sh [CHECK...]     all of them, or those named
set -u
cd "$(dirname "$0")/.." || exit 1

files() { # pattern... : tracked and new files that exist
	git ls-files --cached --others --exclude-standard -- "$@" | sort -u | while read -r f; do
		[ -f "$f" ] && printf '%s\n' "$f"
	done
}

c_files() { files '*.c' '*.h'; }
product_c() { files 'base/*.c' 'common/*.c' 'guest/*.c' 'host/*.c' 'hyper/*.c'; }
# Kernel glue needs the kernel's headers and flags: kbuild checks it (guest/build --check).
user_space_c() { product_c | grep -E '^(base|common|host|hyper|guest/(.*/proto[a-z_]*|tools/[a-z]*|vmbus-vsc/conn|winhv/hcall)\.c)'; }
scripts() {
	files '*.sh' Makefile '*.mk' 'bed/*' 'bench/*' 'packaging/*' 'tests/*' .ci/run |
		grep -vE '\.(c|h|S|lds|md|txt|most)$|/corpus/|/guest_tree/|packaging/debian/[a-z-]*(\.docs|\.install|\.lintian-overrides)?$|debian/source/' | xargs grep -lI .
}

# ---- checks: each prints its findings, one a line ----------------------------

check_format() {
	c_files | xargs clang-format --dry-run -Werror 2>&1 | grep -E 'error:' | cut -d: -f1,2
}

# One form: /* */ in C, # elsewhere, on the first line or behind "#!".
check_spdx() {
	files '*.c' '*.h' '*.S' '*.lds' | while read -r f; do
		head -n 1 "$f" | grep -qE '^/\* SPDX-License-Identifier: [^*]+ \*/$' || echo "$f:1"
	done
	{ scripts; files '*.asl'; } | while read -r f; do
		head -n 2 "$f" | grep -qE '^(#|//) SPDX-License-Identifier: ' || echo "$f:1"
	done
}

# Wire headers and what is shared with the kernel are dual licensed, kernel glue is GPL; host code is MIT.
check_licences() {
	files 'include/hv/*.h' 'common/*.[ch]' | while read -r f; do
		head -n 1 "$f" | grep -q 'GPL-2.0 OR MIT' || echo "$f: must be GPL-2.0 OR MIT"
	done
	files 'guest/*.[ch]' | while read -r f; do
		head -n 1 "$f" | grep -qE 'GPL-2.0(-only| OR MIT) ' || echo "$f: must be GPL-2.0-only, or GPL-2.0 OR MIT"
	done
	files 'base/*.[ch]' 'host/*.[ch]' 'hyper/*.[ch]' | while read -r f; do
		head -n 1 "$f" | grep -q 'Identifier: MIT \*/$' || echo "$f: must be MIT"
	done
}

check_length() {
	c_files | xargs wc -l | awk '$2 != "total" && $1 > 700 { print $2 ": " $1 " lines" }'
}

# Unbounded string functions; sleeps; process exits outside main.c.
check_functions() {
	c_files | grep -vE '^(bed|tests/flat)/' |
		xargs grep -nE '\b(strcpy|strcat|sprintf|vsprintf|gets|alloca|sleep|usleep|nanosleep)\('
	product_c | grep -v '^host/cli/main.c$' |
		xargs grep -nE '\b(exit|_exit|abort)\(' | grep -vE '(debug_|_)exit\('
}

# Where a guest can cause a line, only the limited log functions.
check_log() {
	files 'base/*.c' 'common/*.c' 'hyper/*.c' 'host/disk/*.c' 'host/scsi/*.c' 'host/vsp/*.c' \
		'host/vmbus-host/*.c' 'host/vm/console.c' | grep -vE '^(base/log\.c|hyper/kvm/probe)' |
		xargs grep -nE '\b(log_(error|warn|info|debug|line)|(f|v|vf|d)?printf|perror|puts)\('
}

check_whitespace() {
	{ c_files; scripts; files '*.S' '*.md' 'docs/*'; } | xargs grep -InE '[[:space:]]+$' | cut -d: -f1,2
}

check_banners() { { c_files; scripts; files '*.S'; } | xargs tests/style/banners; }
check_literals() { c_files | xargs tests/style/literals; }
check_shell() {
	{ scripts | xargs grep -lE '^#!/bin/(ba)?sh'; files '*.sh'; } | sort -u |
		xargs shellcheck --severity=warning --format=gcc
}
check_words() { c_files | xargs tests/style/words; }
check_sparse() { user_space_c | xargs tests/style/sparse; }

# Kernel modules: the compiler's W=1, and sparse, with the kernel's own headers.
check_guest() {
	local log
	log=$(bed/fetch-headers 6.12-cloud 2>&1) || { printf '%s\n' "$log"; return; }
	guest/build --check 6.12-cloud 2>&1
}

check_cppcheck() {
	user_space_c | xargs cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr \
		--suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches \
		--error-exitcode=0 -Iinclude -Icommon -Ihost -I. -DENLITE_VERSION='"x"' 2>&1 |
		grep -E ': (error|warning|portability):'
}

# A folder's README says in 30 lines what the folder is; one may speak for the folders below it.
check_readmes() {
	{ product_c; files 'include/*.h' 'bench/*.c' 'bed/*.c'; } | xargs dirname | sort -u | while read -r d; do
		[ -f "$d/README.md" ] || [ -f "${d%/*}/README.md" ] || echo "$d/README.md is missing"
	done
	files '*/README.md' | xargs wc -l | awk '$2 != "total" && $1 > 30 { print $2 ": " $1 " lines, not 30" }'
	files '*.md' | xargs awk 'length > 120 { print FILENAME ":" FNR ": " length " columns, not 120" }'
}

# Scripts that are sourced together: of two functions of one name, the second takes the place of the first.
check_names() {
	local folder
	for folder in tests/vm tests/vm/guest; do
		grep -oHE '^[a-z_]+\(\)' "$folder"/*.sh |
			awk -F: 'seen[$2] { print $1 ": " $2 " is in " seen[$2] ", too" } { seen[$2] = $1 }'
	done
}

# ---- verdicts ----------------------------------------------------------------

names="
format      clang-format
spdx        an SPDX line in one form heads every file
licences    licences by folder
length      files of at most 700 lines
functions   no forbidden functions
log         limited log lines where a guest can cause them
whitespace  no trailing white space
banners     section banners are 80 columns wide
literals    a message is one string literal
shell       shellcheck
words       plain English in comments
sparse      sparse: shared memory is an address space of its own
guest       guest modules: W=1 and sparse
cppcheck    cppcheck
readmes     short READMEs, of at most 120 columns
names       one function of a name in scripts that are sourced together"

verdict() { # text findings
	if [ -z "$2" ]; then
		echo "ok - style: $1"
	else
		echo "not ok - style: $1"
		printf '%s\n' "$2" | head -n 30 | sed 's/^/#   /'
	fi
}

printf '%s\n' "$names" | while read -r check text; do
	[ -n "$check" ] || continue
	[ $# -eq 0 ] || [[ " $* " == *" $check "* ]] || continue
	verdict "$text" "$("check_$check")"
done

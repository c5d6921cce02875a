#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Shows that each check of style.sh, deps.sh, tour.sh and sleeps.sh can fail: in a copy of the tree it makes one
# violation, and wants the check to name it. TAP output.
set -u
cd "$(dirname "$0")/.." || exit 1

copy=$(mktemp -d "${TMPDIR:-/tmp}/enlite-style.XXXXXX")
trap 'rm -rf "$copy"' EXIT
mit='/* SPDX-License-Identifier: MIT */'

make_copy() {
	git ls-files --cached --others --exclude-standard | grep -v '/corpus/' |
		while read -r f; do [ -f "$f" ] && printf '%s\n' "$f"; done | cpio --quiet -pdm "$copy"
	mkdir -p "$copy/build" && [ ! -d build/gen ] || cp -r build/gen "$copy/build/"
	mkdir -p build/kernels build/headers
	ln -s "$PWD/build/kernels" "$PWD/build/headers" "$copy/build/" # of the guest modules
	git -C "$copy" init -q && git -C "$copy" add -A
}

# What a checker of the copy prints when FILE holds TEXT (behind what it has, with ">>").
with() { # ">" or ">>", file, text, checker [arguments]
	local how=$1 file=$copy/$2 text=$3 existed=""
	shift 3
	mkdir -p "$(dirname "$file")"
	[ ! -e "$file" ] || { existed=1; cp "$file" "$copy/.saved"; }
	[ "$how" = ">>" ] || : >"$file"
	printf '%s\n' "$text" >>"$file"
	"$copy/tests/$1" "${@:2}"
	rm -f "$file"
	[ -z "$existed" ] || mv "$copy/.saved" "$file"
}

# seeded NAME FINDING HOW FILE TEXT CHECKER [ARGUMENTS]: it fails, and its findings match.
seeded() {
	local name=$1 finding=$2 out
	shift 2
	out=$(with "$@" 2>&1)
	if grep -q '^not ok ' <<<"$out" && grep -q -- "^# .*$finding" <<<"$out"; then
		echo "ok - style-test: $name"
	else
		echo "not ok - style-test: $name is not found"
		sed 's/^/#   /' <<<"$out"
	fi
}

bad=hyper/hv/bad_seed.c

test_style() {
	seeded format "$bad:2" ">" $bad "$mit"$'\nint  x;' style.sh format
	seeded "a head in the other form" "$bad:1" ">" $bad "// SPDX-License-Identifier: MIT" style.sh spdx
	seeded "a script without a licence" "tests/bad_seed.sh:1" ">" tests/bad_seed.sh "#!/bin/sh" style.sh spdx
	seeded licences "must be GPL-2.0 OR MIT" ">" common/ring/bad_seed.h "$mit" style.sh licences
	seeded length "701 lines" ">" $bad "$(yes '' | head -n 700; echo x)" style.sh length
	seeded strcpy "$bad:1" ">" $bad "strcpy(a, b);" style.sh functions
	seeded sleep "$bad:1" ">" $bad "sleep(1);" style.sh functions
	seeded exit "$bad:1" ">" $bad "exit(1);" style.sh functions
	seeded "a log line without limit" "$bad:2" ">" $bad "$mit"$'\nlog_error("x");' style.sh log
	seeded "trailing white space" "$bad:1" ">" $bad "int x; " style.sh whitespace
	seeded "a short banner" "$bad:1" ">" $bad "/* ---- x ---- */" style.sh banners
	seeded "a broken banner" "$bad:1" ">" $bad $'/* ---- x\n * --------------- */' style.sh banners
	seeded "a lost line continuation" "bad_seed.sh:3:.*SC2215" ">" tests/bad_seed.sh $'#!/bin/bash\nls \n--color' style.sh shell
	seeded "a banner in a script" "bad_seed.sh:1" ">" tests/bad_seed.sh "# ---- x ---------" style.sh banners
	seeded "a broken message" "$bad:1: one literal" ">" $bad $'f("a message " \n"in two");' style.sh literals
	seeded "dialect" "words.most" ">" $bad "/* $(yes 'told by nobody' | head -n 999) */" style.sh words
	seeded "a long README line" "hv/README.md:[0-9]*: 121" ">>" hyper/hv/README.md "$(printf %0121d 0)" style.sh readmes
	seeded "a long README" "hv/README.md: 31 lines" ">" hyper/hv/README.md "$(yes x | head -n 31)" style.sh readmes
	seeded "a folder without README" "hyper/new/new/README.md" ">" hyper/new/new/x.c "$mit" style.sh readmes
	seeded "a kernel module: sparse" "hypervisor.c:.*undeclared" ">>" guest/vmbus-vsc/hypervisor.c "int undeclared;" \
		style.sh guest
	seeded "a kernel module: its licence" "guest/bad.c: must" ">" guest/bad.c "$mit" style.sh licences
	seeded "two functions of one name" "dvd.sh: events() is in tests/vm/guest/bad_seed.sh" ">" tests/vm/guest/bad_seed.sh \
		"events() { :; }" style.sh names
	seeded "cppcheck" "$bad:2" ">" $bad "$mit"$'\nint f(void) { int a[2]; return a[2]; }' style.sh cppcheck
}

test_sparse() {
	local head=$'#include "base/gmem.h"\nint f(const struct gmem *g);\nint f(const struct gmem *g)\n'
	seeded "a guest pointer is followed" "$bad:4.*noderef" ">" $bad \
		"$head"'{ return *(const int GUEST_SHARED *)gmem_at(g, 0, 4); }' style.sh sparse
	seeded "a guest pointer becomes plain" "$bad:4.*address space" ">" $bad \
		"$head"'{ return *(const int *)gmem_at(g, 0, 4); }' style.sh sparse
	seeded "ring memory is copied past its functions" "common/ring/bad_seed.c:4.*address space" \
		">" common/ring/bad_seed.c \
		$'#include "ring/vmbus_ring.h"\nvoid f(struct vmbus_rx *rx, void *to);\nvoid f(struct vmbus_rx *rx, void *to)\n'"{ memcpy(to, rx->place.at, 4); }" style.sh sparse
}

# forbidden FILE INCLUDE: deps.sh refuses it.
forbidden() {
	seeded "$1 may not include $2" "$1:1: .* may not include" ">" "$1" "#include \"$2\"" deps.sh
}

test_deps() {
	forbidden hyper/hv/bad_seed.c hyper/kvm/partition.h
	forbidden hyper/hv/bad_seed.c vsp/vsp.h
	forbidden hyper/dev/bad_seed.c hyper/hv/hv.h
	forbidden hyper/boot/bad_seed.c hyper/kvm/partition.h
	forbidden host/vsp/bad_seed.c scsi/scsi.h
	forbidden host/vsp/null/bad_seed.c vsp/storvsp/storvsp.h
	forbidden host/vsp/storvsp/bad_seed.c hyper/kvm/partition.h
	forbidden host/scsi/bad_seed.c vmbus-host/chan.h
	forbidden host/disk/bad_seed.c scsi/scsi.h
	forbidden host/vmbus-host/bad_seed.c hyper/kvm/partition.h
	forbidden common/ring/bad_seed.c base/loop.h
	seeded "only hyper/kvm knows KVM" "only hyper/kvm" ">" hyper/hv/bad_seed.c "#include <linux/kvm.h>" deps.sh
	seeded "a folder without a rule" "no rule in deps.txt" ">" new/x.c "#include \"base/loop.h\"" deps.sh
	seeded "a rule without files" "hyper/gone: no file" ">>" deps.txt "hyper/gone: base" deps.sh
	seeded "a rule that allows what is not there" "no folder host/gone" ">>" deps.txt "hyper/hv: base hv host/gone" deps.sh
}

test_tour() {
	seeded "a function that is no more" "no function gone_function" ">>" docs/TOUR.md \
		'| 99 | step | `base/loop.c` | `gone_function` | VP |' tour.sh
	seeded "a file that is no more" "base/gone.c does not exist" ">>" docs/TOUR.md \
		'| 99 | step | `base/gone.c` | `turn` | VP |' tour.sh
	seeded "a place that is no more" "gone/ does not exist" ">>" docs/THREADS.md 'see `host/gone/`' tour.sh
	seeded "a lock that ADR 0004 lacks" "does not name $bad" ">" $bad $'struct x {\n\tpthread_mutex_t lock;' tour.sh
	seeded "a thread that THREADS.md lacks" "does not name $bad" ">" $bad "pthread_create(&t," tour.sh
}

# Over the object files of this tree, which the copy does not have.
test_sleeps() {
	[ -d build/plain/host ] || { echo "ok - style-test: sleeps # SKIP nothing is built"; return; }
	seeded "a call that sleeps" "base/gmem: ftruncate: may sleep" ">" sleeps.txt "base/err: lseek" \
		sleeps.sh sleeps.txt "$PWD/build/plain"
	seeded "a call that is no more" "base/err: lseek: not called" ">>" sleeps.txt "base/err: lseek" \
		sleeps.sh sleeps.txt "$PWD/build/plain"
}

make_copy
test_style
test_sparse
test_deps
test_tour
test_sleeps

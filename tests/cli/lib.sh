# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What tests/cli/run is made of: a private copy of enlite, verdicts, guests in the background.

work=$(mktemp -d /tmp/enlite-cli.XXXXXX)
enlite=$work/enlite # a copy: its processes can be told from others', and "nobody" may run it
flat=$work/flat
export ENLITE_RUN_DIR=$work/run
limit=10
nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"

cli_setup() {
	chmod 755 "$work"
	mkdir "$work/run" "$flat"
	cp "${ENLITE:-build/enlite}" "$enlite"
	cp build/flat/*.elf "$flat"
	chmod -R a+rX "$work"
	kvm=""
	$enlite probe >"$work/probe" 2>&1
	[ $? -ne 2 ] || kvm="no usable /dev/kvm here"
	root=""
	[ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null || root="needs root and mount namespaces"
}

cli_cleanup() {
	local pid
	for pid in $(enlite_pids); do
		kill -KILL "$pid"
	done
	rm -rf "$work"
}

# ---- verdicts ---------------------------------------------------------------------

pass() { echo "ok - cli: $1"; }

fail() { # name, why, files to show...
	local name=$1 why=$2
	shift 2
	echo "not ok - cli: $name ($why)"
	[ $# -eq 0 ] || tail -n 5 "$@" | cat -v | sed 's/^/#   /'
}

verdict() { # name, why it failed or "", files to show...
	if [ -z "$2" ]; then pass "$1"; else fail "$@"; fi
}

# needs REASON NAME: true when REASON is empty, else says that NAME was skipped.
needs() {
	[ -n "$1" ] || return 0
	echo "ok - cli: $2 # SKIP $1"
	return 1
}

# ---- what is left behind ------------------------------------------------------------

enlite_pids() {
	local exe
	for exe in /proc/[0-9]*/exe; do
		[ "$(readlink "$exe" 2>/dev/null)" = "$enlite" ] || continue
		exe=${exe#/proc/}
		echo "${exe%/exe}"
	done
}

remains() { # prints what is left, nothing when all is clean
	[ -z "$(enlite_pids)" ] || echo "processes left"
	[ -z "$(ls -A "$work/run/enlite" 2>/dev/null)" ] || echo "sockets left"
}

# ---- commands that must fail ------------------------------------------------------------

# bad NAME STATUS PATTERN COMMAND...: COMMAND prints one line that matches, ends with STATUS.
bad() {
	local name=$1 want=$2 pattern=$3 status why=""
	shift 3
	timeout --kill-after=1 $limit "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	if [ $status -eq 124 ]; then
		why="no end within $limit s"
	elif [ $status -ne "$want" ]; then
		why="status $status, not $want"
	elif [ "$(wc -l <"$work/err")" -ne 1 ]; then
		why="not one line on standard error"
	elif ! grep -Eq "^enlite: .*$pattern" "$work/err"; then
		why="the line does not say: $pattern"
	elif [ -s "$work/out" ]; then
		why="something on standard output"
	else
		why=$(remains)
	fi
	verdict "$name" "$why" "$work/err"
}

# The same with `enlite run --kernel GUEST`, which must get as far as opening KVM.
bad_kvm() {
	needs "$kvm" "$1" && bad "$@"
}

# ---- guests that go on -------------------------------------------------------------------

# Waits until a condition holds; false after 10 s.
wait_until() { # command...
	local tries
	for tries in {1..200}; do
		"$@" && return 0
		sleep 0.05
	done
	return 1
}

says() { grep -aq "$2" "$1" 2>/dev/null; } # file, text

# start GUEST OPTIONS...: in the background, with the signals a shell takes from background jobs.
start() {
	local guest=$1
	shift
	: >"$work/out"
	: >"$work/err"
	env --default-signal=INT,TERM,HUP "$enlite" run --kernel "$flat/$guest.elf" --memory 64M "$@" \
		</dev/null >"$work/out" 2>"$work/err" &
	guest_pid=$!
	# A shell's own lines about killed jobs are none of ours.
	wait_until says "$work/out" "${start_text-idle}"
}

# status of $guest_pid once it ended, "hangs" when it does not
end_status() {
	wait_until guest_gone || {
		kill -KILL "$guest_pid"
		echo hangs
		return
	}
	wait "$guest_pid"
	echo $?
}

# A zombie waits for us and has ended.
guest_gone() {
	! [ -e "/proc/$guest_pid" ] || grep -q '^State:.*Z' "/proc/$guest_pid/status" 2>/dev/null
}

# ends NAME STATUS: the guest of start() ends so, and leaves nothing.
ends() {
	local status why
	end_status >"$work/status"
	status=$(cat "$work/status")
	why=""
	[ "$status" = "$2" ] || why="status $status, not $2"
	[ -n "$why" ] || why=$(remains)
	verdict "$1" "$why" "$work/err"
}

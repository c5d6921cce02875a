# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What tests/cli/run is made of: a private copy of enlite, verdicts, guests in the background.

work=$(mktemp -d /tmp/enlite-cli.XXXXXX)
enlite=$work/enlite # a copy: its processes can be told from others', and "nobody" may run it
flat=$work/flat
export ENLITE_RUN_DIR=$work/run
limit=120
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

# ---- verdicts ----------------------------------------------------------------

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

# ---- what is left behind -----------------------------------------------------

worker_pids() {
	local pid
	for pid in $(enlite_pids); do
		[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = enlite-broker ] || echo "$pid"
	done
}

remains() { # prints what is left, nothing when all is clean
	no_enlite || [ -z "$(worker_pids)" ] && wait_until no_enlite || echo "processes left"
	[ ! -d "$work/run/enlite" ] || [ -z "$(ls -A "$work/run/enlite")" ] || echo "sockets left"
}

# ---- commands that must fail -------------------------------------------------

# fails STATUS PATTERN COMMAND...: prints what is wrong unless COMMAND prints one line that matches
# and ends with STATUS.
fails() {
	local want=$1 pattern=$2 status
	shift 2
	timeout --kill-after=1 $limit "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	if [ $status -eq 124 ]; then
		echo "no end within $limit s"
	elif [ $status -ne "$want" ]; then
		echo "status $status, not $want"
	elif [ "$(wc -l <"$work/err")" -ne 1 ]; then
		echo "not one line on standard error"
	elif ! grep -Eq "^enlite: .*$pattern" "$work/err"; then
		echo "the line does not say: $pattern"
	elif [ -s "$work/out" ]; then
		echo "something on standard output"
	fi
}

# bad NAME STATUS PATTERN COMMAND...: it fails so, and leaves nothing behind.
bad() {
	local name=$1 why
	shift
	why=$(fails "$@")
	[ -n "$why" ] || why=$(remains)
	verdict "$name" "$why" "$work/err"
}

# The same for what is found only after KVM was opened.
bad_kvm() {
	needs "$kvm" "$1" && bad "$@"
}

# The same while a partition runs, which is no remains.
bad_running() {
	local name=$1
	shift
	verdict "$name" "$(fails "$@")" "$work/err"
}

# ---- guests that go on -------------------------------------------------------

says() { grep -aq "$2" "$1" 2>/dev/null; } # file, text

# launch GUEST OPTIONS...: in the background, with the signals a shell takes from background jobs.
launch() {
	local guest=$1
	shift
	: >"$work/out"
	: >"$work/err"
	env --default-signal=INT,TERM,HUP "$enlite" run --kernel "$flat/$guest.elf" --memory 64M "$@" \
		</dev/null >"$work/out" 2>"$work/err" &
	guest_pid=$!
}

# The same, and waits until the guest says so.
start() {
	launch "$@"
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

# A zombie, which waits for us, has no exe.
guest_gone() {
	! [ "/proc/$guest_pid/exe" -ef "$enlite" ]
}

# ends NAME STATUS: (or a pattern) the guest of start() ends so, and leaves nothing.
ends() {
	local status why=""
	end_status >"$work/status"
	status=$(<"$work/status")
	# shellcheck disable=SC2053 # a pattern
	[[ $status == $2 ]] || why="status $status, not $2"
	[ -n "$why" ] || why=$(remains)
	verdict "$1" "$why" "$work/err"
}

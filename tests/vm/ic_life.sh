# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# In the middle of requests of every kind: the services' driver goes and comes, the VM pauses, the guest resets,
# another kernel takes over. Each request ends, with an answer or an error that says why.

# What a request may say of a guest that is on its way.
life_errors='has not opened it|ended or closed|did not answer in time|could not do it|the guest has ended|the guest is not ready|takes too long'
life_errors+="|not frozen|time of the freeze|not possible while|no VM|no partition|no answer|another file|is being|are frozen|exists already"

ask_one() { # what, command...
	local status what=$1
	shift
	timeout 120 "$@" >"$work/asked.out" 2>&1 </dev/null
	status=$?
	echo "$what $status $(tail -n 1 "$work/asked.out")" >>"$work/asked"
}

keep_asking() {
	local n=0
	while [ -e "$work/keep_asking" ]; do
		n=$((n + 1))
		ask_one set "$ENLITE" ctl vm kvp set "Key$((n % 8))" "value $n"
		ask_one list "$ENLITE" ctl vm kvp list
		ask_one copy "$ENLITE" cp --force "$work/life.file" vm:/tmp/got/
		ask_one freeze "$ENLITE" freeze vm --timeout 20 -- true
	done
}

# Bounded: everything works again.
life_works() { # what
	local tries=0
	until life_once || [ $((tries += 1)) -gt 100 ]; do sleep 0.5; done
	note "$1: heartbeat" "$(heartbeat)" ok
	note "$1: set" "$(ctl kvp set After "$1" 2>&1)" "{}"
	note "$1: get" "$(ctl kvp get After 2>&1)" "$1"
	note "$1: freeze and thaw" "$($ENLITE freeze vm -- true 2>&1; echo $?)" 0
}

life_once() {
	[ "$(heartbeat)" = ok ] && ctl kvp set After all >/dev/null 2>&1 && $ENLITE freeze vm -- true >/dev/null 2>&1
}

start_asking() {
	touch "$work/keep_asking"
	keep_asking >/dev/null 2>&1 7<&- 8>&- &
	echo $! >"$work/asking.pid"
}

# The last request ends by itself.
end_asking() {
	rm -f "$work/keep_asking"
	[ ! -e "$work/asking.pid" ] || timeout 300 tail --pid="$(cat "$work/asking.pid")" -f /dev/null
}

# Of each kernel; the one before was in the middle.
checkpoint_life_begin() {
	local boots
	end_asking
	boots=$(ctl status --json | jq .boots)
	life_works "boot $boots"
	start_asking
	echo "$boots"
}

checkpoint_life_ask() { start_asking; }

checkpoint_life_pause() {
	local i
	for i in 1 2 3 4 5; do
		ctl pause >/dev/null 2>>"$work/pause_errors" && ctl resume >/dev/null
		sleep 0.$((RANDOM % 5))
	done
}

checkpoint_life_check() { # what
	end_asking
	life_works "$*"
}

test_ic_life() { # flavour cpus
	begin "vm/$1, $2 VP: events in the middle of integration services"
	new_disk "$work/disk.img" 64M
	head -c 300000 /dev/urandom >"$work/life.file"
	: >"$work/notes"
	: >"$work/asked"
	rm -f "$work/keep_asking" "$work/asking.pid" "$work/pause_errors"
	guest_timeout=1500
	guest_set="reloads=$(by_length 2 10)"
	boot_guest "$1" "$2" ic_life --ic all
	end_asking
	cat "$work/notes"
	echo "# $test_name: requests: $(awk '{ print $1, $2 == 0 ? "done" : "refused" }' "$work/asked" | sort | uniq -c |
		awk '{ printf "%s%d %s %s", comma, $1, $2, $3; comma = ", " }')"
	expect "errors without a reason" "$(awk '$2 != 0' "$work/asked" | grep -vE "$life_errors" | sort | uniq -c | head -n 5)" ""
	expect_true "requests were answered" grep -q '^set 0' "$work/asked"
	expect "exit status" "$status" 0
	expect "last words" "$(said done)" ic_life
	finish
}

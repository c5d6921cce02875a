# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The VM is paused and resumed while its guest boots, does I/O, opens and closes channels, resets
# LUNs, finds new disks, and while a LUN hangs. Times are microseconds of the host's clock.

host_us() { echo "${EPOCHREALTIME/[.,]/}"; }

# ---- one pause ---------------------------------------------------------------

# Appends to the list of pauses: how long the VM was surely paused, how long it was at most.
pause_once() { # ms
	local asked paused resuming resumed
	asked=$(host_us)
	ctl pause >/dev/null || return
	paused=$(host_us)
	usleep_ms "$1"
	resuming=$(host_us)
	ctl resume >/dev/null || return
	resumed=$(host_us)
	echo "$((resuming - paused)) $((resumed - asked))" >>"$work/pauses"
}

usleep_ms() { sleep "$(($1 / 1000)).$(printf '%03d' $(($1 % 1000)))"; }

sum_of_pauses() { # column
	awk -v column="$1" '{ sum += $column } END { printf "%d\n", sum }' "$work/pauses"
}

# CPU time of all threads of the worker process, microseconds.
worker_cpu_us() {
	cat /proc/"$(pgrep -o -f "enlite run --name vm ")"/task/*/schedstat |
		awk '{ sum += $1 } END { printf "%d\n", sum / 1000 }'
}

# ---- pauses while the guest's shell waits, and its I/O goes on ---------------

random_ms() { # longest
	echo $((1 + (RANDOM * 32768 + RANDOM) % $1))
}

checkpoint_before_pauses() {
	rm -f "$work/pauses"
	host_us >"$work/us.before"
}

# Some are long, most are short: what may go wrong happens at their ends.
checkpoint_pauses() {
	local cycle
	host_us >"$work/us.first"
	for ((cycle = 0; cycle < pause_cycles; cycle++)); do
		pause_once "$(random_ms $((cycle % 10 ? 50 : 5000)))" || echo "cycle $cycle" >>"$work/pause_failures"
		usleep_ms "$(random_ms 200)" # the guest runs on
	done
	host_us >"$work/us.last"
}

checkpoint_after_pauses() { host_us >"$work/us.after"; }

# What a paused worker process uses in a second, after it has answered.
checkpoint_idle() {
	local before
	ctl pause >/dev/null || return
	sleep 0.2
	before=$(worker_cpu_us)
	sleep 1
	echo $(($(worker_cpu_us) - before)) >"$work/cpu_us"
	ctl resume >/dev/null
}

# Of the guest's time between two checkpoints: 1 in 1,000 for different clocks, 20 ms for the
# resolution of its uptime.
expect_guest_time() {
	local guest least most
	guest=$((($(said uptime_after | tr -d .) - $(said uptime_before | tr -d .)) * 10000))
	least=$(($(cat "$work/us.last") - $(cat "$work/us.first") - $(sum_of_pauses 2)))
	most=$(($(cat "$work/us.after") - $(cat "$work/us.before") - $(sum_of_pauses 1)))
	expect_true "the guest counted $guest us, at least $least" \
		test "$guest" -ge $((least - least / 1000 - 20000))
	expect_true "the guest counted $guest us, at most $most" \
		test "$guest" -le $((most + most / 1000 + 20000))
}

test_pause() { # flavour cpus
	pause_cycles=$(by_length 6 100)
	begin "vm/$1, $2 VP: $pause_cycles pauses under fio verify"
	new_disk "$work/disk.img" 128M
	rm -f "$work/pause_failures" "$work/cpu_us"
	guest_timeout=$(by_length 180 1800)
	boot_guest "$1" "$2" pause
	expect_good_end pause
	expect "pauses that failed" "$(cat "$work/pause_failures" 2>/dev/null)" ""
	expect "pauses" "$(wc -l <"$work/pauses")" "$pause_cycles"
	expect_guest_time
	expect "clock source" "$(said clocksource_after)" "$(said clocksource)"
	expect_true "a paused VM uses $(cat "$work/cpu_us") us of CPU in a second" \
		test "$(cat "$work/cpu_us")" -le 10000
	finish
}

# ---- pauses all the time, from before the guest boots ------------------------

# Refused as long as there is no VM, and while it ends.
keep_pausing() {
	while [ -e "$work/keep_pausing" ]; do
		pause_once "$(random_ms 100)" 2>>"$work/pause_errors"
		usleep_ms "$(random_ms 100)"
	done
}

# Between two pauses.
ctl_retry() { # command...
	local tries
	for tries in {1..100}; do
		ctl "$@" >&2 2>"$work/refusal" && return
		grep -q 'not possible while' "$work/refusal" || break
		usleep_ms 20
	done
	echo "$*: $(cat "$work/refusal")" >>"$work/pause_failures"
}

checkpoint_pause_add() { # cycle
	new_disk "$work/hot.img" 16M
	printf 'CYCLE%03d' "$1" | dd of="$work/hot.img" conv=notrunc status=none
	ctl_retry disk add "$work/hot.img,lun=5"
}

# Not from the beginning: with two controllers, either may become the guest's host 0.
checkpoint_pause_second() { ctl_retry disk add "$work/second.img,controller=1"; }

checkpoint_pause_remove() { ctl_retry disk remove 0:5; }

test_pause_life() { # flavour cpus
	local pid
	begin "vm/$1, $2 VP: pauses while the guest boots, opens, closes, resets"
	new_disk "$work/disk.img" 128M
	new_disk "$work/second.img" 32M
	rm -f "$work/pauses" "$work/pause_errors" "$work/pause_failures"
	: >"$work/pauses"
	touch "$work/keep_pausing"
	keep_pausing &
	pid=$!
	guest_set="cycles=$(by_length 4 50)"
	guest_timeout=$(by_length 300 2400)
	boot_guest "$1" "$2" pause_life
	rm "$work/keep_pausing"
	wait "$pid"
	expect_good_end pause_life
	expect "disk commands that failed" "$(cat "$work/pause_failures" 2>/dev/null)" ""
	expect_true "$(wc -l <"$work/pauses") pauses" test "$(wc -l <"$work/pauses")" -gt 20
	expect "refusals" "$(grep -vE 'no partition|no VM|not possible while|no answer|ended or was stopped' "$work/pause_errors")" ""
	finish
}

# ---- a LUN that hangs --------------------------------------------------------

checkpoint_pause_refused() {
	ctl pause 2>"$work/refusal" >&2
	echo $? >"$work/refused"
}

checkpoint_pause_works() {
	pause_once 10
	echo $? >"$work/worked"
}

test_pause_stuck() { # flavour cpus
	begin "vm/$1, $2 VP: a pause is refused while a LUN hangs"
	new_disk "$work/disk.img" 128M
	rm -f "$work/refused" "$work/worked"
	boot_guest "$1" "$2" pause_stuck --disk "memory:64M,delay=60s:write"
	expect_good_end pause_stuck
	expect "status of the pause" "$(cat "$work/refused")" 1
	expect_match "its error" "$(cat "$work/refusal")" "disk 0:2 \(memory:64M\) did not complete its requests within 10 s"
	expect "status of a pause afterwards" "$(cat "$work/worked")" 0
	finish
}

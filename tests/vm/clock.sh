# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The guest's clock: chrony of Debian follows the host's by the PTP device that time sync feeds.

move_clock() { # ms
	build/clocks step "$1" || echo "a step of $1 ms failed" >>"$work/clock_failures"
}

samples() { ctl inspect devices --json | jq '[.[] | select(.id == "timesync")][0].channels[0].samples'; }

# Of the clock as it is now.
until_more_samples() {
	local before tries=0
	before=$(samples)
	while [ "$(samples)" -lt $((before + 2)) ] && [ $((tries += 1)) -lt 1200 ]; do sleep 0.2; done
}

# Only the clock of a nested bed is ours to set.
may_step_clock() {
	[ "$BED_PLACE" = nested ] && return
	echo "ok - $test_name: steps of the host's clock # SKIP not the clock of this machine" >>"$work/notes"
	echo skipped
	return 1
}

# The host sends no sync for it: chrony alone corrects the guest's clock.
checkpoint_clock_small_step() {
	local before
	may_step_clock || return
	before=$(syncs)
	move_clock 80
	until_more_samples
	note "a step of 80 ms is no sync" "$(syncs)" "$before"
}

# There and back at once: $SECONDS follows the clock.
checkpoint_clock_day() {
	may_step_clock || return
	step_clock 86400
	step_clock -86400
	move_clock -80
}

checkpoint_clock_pause() {
	local i
	for i in 1 2 3; do
		ctl pause >/dev/null && sleep 1 && ctl resume >/dev/null || echo "pause $i" >>"$work/clock_failures"
	done
}

test_clock() { # flavour cpus
	local server
	begin "vm/$1, $2 VP: chrony on the PTP clock"
	new_disk "$work/disk.img" 64M
	: >"$work/notes"
	rm -f "$work/clock_failures" "$work/vsock" "$work/vsock_7100"
	guest_timeout=600
	build/clocks serve "$work/vsock_7100" &
	server=$!
	boot_guest "$1" "$2" clock --vsock "$work/vsock"
	kill $server
	wait $server 2>/dev/null
	rm -f "$work/vsock_7100"
	cat "$work/notes"
	sed -n "s|^@clock |# vm/$1, $2 VP: |p" "$console"
	expect "steps and pauses that failed" "$(cat "$work/clock_failures" 2>/dev/null)" ""
	expect_true "chrony has stepped the clock" test "$(said chrony_steps)" -gt 0
	expect_good_end clock
	finish
}

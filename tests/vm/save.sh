# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The VM is saved under fio verify, and goes on in a new process; again and again.

export SAVED_IMAGE=$work/vm.image

vm_runs() { ctl status >/dev/null 2>&1; }

# When the old process has ended, `saved` moves the image away and starts the new one.
save_once() { # options of save...
	local tries
	ctl save "$SAVED_IMAGE" "$@" >/dev/null || return
	for ((tries = 0; tries < 3000; tries++)); do
		[ ! -e "$SAVED_IMAGE" ] && vm_runs && return
		sleep 0.1
	done
	echo "it does not run again" >&2
	return 1
}

checkpoint_saves() {
	local cycle
	for ((cycle = 0; cycle < save_cycles; cycle++)); do
		if [ $((cycle % 2)) = 0 ]; then save_once --raw; else save_once; fi ||
			{ echo "cycle $cycle" >>"$work/save_failures"; return; }
		echo >>"$work/saves"
		sleep 0.$((RANDOM % 10))
	done
}

# The host's clock, between two looks of the guest at its own.
checkpoint_save_clock() { echo "$EPOCHSECONDS"; }

test_save() { # flavour cpus [options...]
	local ENLITE=tests/vm/saved
	save_cycles=${SAVE_CYCLES:-$(by_length 4 100)}
	begin "vm/$1, $2 VP: saved $save_cycles times under fio verify${3:+, ${*:3}}"
	new_disk "$work/disk.img" 128M
	rm -f "$work/save_failures" "$SAVED_IMAGE"*
	: >"$work/saves"
	guest_memory=256M
	guest_timeout=$(by_length 300 3600)
	boot_guest "$1" "$2" save "${@:3}"
	expect_good_end save
	expect "saves that failed" "$(cat "$work/save_failures" 2>/dev/null)" ""
	expect "saves" "$(wc -l 2>/dev/null <"$work/saves")" "$save_cycles"
	expect "clock source" "$(said clocksource_after)" "$(said clocksource)"
	expect "files left" "$(ls "$SAVED_IMAGE"* | grep -v restored)" ""
	finish
}

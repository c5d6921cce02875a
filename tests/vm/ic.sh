# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Integration services with stock guests and Debian's daemons.

checkpoint_heartbeat() {
	ctl inspect devices >"$work/ic" 2>&1
	cat "$work/ic" >&2
}

test_ic_first() { # flavour cpus
	begin "vm/$1, $2 VP: ic"
	new_disk "$work/disk.img" 128M
	boot_guest "$1" "$2" ic_first
	guest_set=
	finish
}

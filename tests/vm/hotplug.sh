# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Disks that come, go, and change their size while the guest runs.

checkpoint_add() { # cycle
	new_disk "$work/hot.img" 16M
	printf 'CYCLE%03d' "$1" | dd of="$work/hot.img" conv=notrunc status=none
	ctl disk add "$work/hot.img,lun=5" >&2
}

checkpoint_remove() { ctl disk remove 0:5 >&2; }

checkpoint_resize() { # bytes
	truncate -s "$1" "$work/disk.img"
	ctl disk resize 0:0 >&2
}

test_hotplug() { # flavour cpus
	local cycles
	cycles=$(by_length 10 100)
	begin "vm/$1, $2 VP: a disk comes and goes $cycles times"
	new_disk "$work/disk.img" 128M
	guest_set="cycles=$cycles"
	guest_timeout=$(by_length 600 900)
	boot_guest "$1" "$2" hotplug
	expect "exit status" "$status" 0
	expect "cycles" "$(said cycles)" "$cycles"
	expect "kernel warnings" "$(said faults)" 0
	expect "failures" "$(said fail)" ""
	finish
}

test_resize() { # flavour cpus
	begin "vm/$1, $2 VP: resize"
	new_disk "$work/disk.img" 128M
	boot_guest "$1" "$2" resize
	expect_good_end resize
	finish
}

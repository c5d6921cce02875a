# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The SCSI commands, and what they do to the file.

allocated() { # file; bytes
	echo $(($(stat -c %b "$1") * 512))
}

checkpoint_before_trim() { allocated "$work/disk.img" >"$work/before_trim"; }
checkpoint_after_trim() { allocated "$work/disk.img" >"$work/after_trim"; }

test_scsi() { # flavour cpus
	begin "vm/$1, $2 VP: scsi"
	guest_set="seconds=$(by_length 10 120)"
	guest_timeout=600
	new_disk "$work/disk.img" 128M
	boot_guest "$1" "$2" scsi
	expect_good_end scsi
	expect_true "4 resets or more" test "$(said resets)" -ge 4
	# 24 MB of data went; the journal and the like may come and go.
	local freed=$(($(cat "$work/before_trim") - $(cat "$work/after_trim")))
	expect_true "fstrim punched holes ($freed bytes)" test $freed -gt 22000000
	finish
}

# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# A DVD-ROM drive beside the disks.

test_dvd() { # flavour cpus
	begin "vm/$1, $2 VP: dvd"
	new_disk "$work/disk.img" 128M
	cp build/vm/dvd.iso "$work/"
	guest_set="dvd_sum=$(cat build/vm/dvd.sum),dvd_bytes=$(stat -c %s build/vm/dvd.iso)"
	boot_guest "$1" "$2" dvd --cdrom "$work/dvd.iso"
	expect_good_end dvd
	expect_true "the image is as before" cmp -s build/vm/dvd.iso "$work/dvd.iso"
	finish
}

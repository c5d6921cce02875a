# SPDX-License-Identifier: MIT
# Guest side: disks that come, go, and change their size, while another disk is busy.

cycle() { # number
	checkpoint add "$1"
	wait_for_lun 5 || return
	hot=$(disk_of_lun 5)
	[ "$(dd if="/dev/$hot" bs=512 count=1 iflag=direct 2>/dev/null | head -c 8)" = "$(printf 'CYCLE%03d' "$1")" ] ||
		{ say fail "cycle $1: another disk"; return 1; }
	# Every other time it goes while it is read.
	[ $(($1 % 2)) = 0 ] || dd if="/dev/$hot" of=/dev/null bs=4k iflag=direct 2>/dev/null &
	checkpoint remove
	wait_gone "/sys/class/scsi_device/$(scsi_of_lun 5)"
}

job_hotplug() {
	find_disks || return
	dmesg -n 1 # a disk that goes while it is read does not go quietly
	start_busy "$disk"
	i=0
	while [ $i -lt "$cycles" ] && cycle $i; do i=$((i + 1)); done
	say cycles $i
	stop_busy "fio beside it"
	say faults "$(dmesg | grep -cE 'WARNING:|BUG:|Call Trace|blocked for more')"
}

# A command is needed: it is what brings the news.
has_size() { # bytes
	dd if="/dev/$disk" of=/dev/null bs=512 count=1 iflag=direct 2>/dev/null
	[ $(($(cat "/sys/block/$disk/size") * 512)) = "$1" ]
}

job_resize() {
	find_disks || return
	with_tools mkfs.ext4 -q -F "/dev/$disk" 64M
	mount "/dev/$disk" /mnt
	head -c 3000000 /dev/urandom >/mnt/data
	sum=$(sha256sum </mnt/data)
	for bytes in 201326592 134217728 167772160; do
		checkpoint resize $bytes
		wait_until "size $bytes" has_size $bytes || return
		ok "resized to $bytes while mounted"
		check "the last block" "dd if=/dev/zero of=/dev/$disk bs=512 seek=$((bytes / 512 - 1)) count=1 oflag=direct"
	done
	echo 3 >/proc/sys/vm/drop_caches
	is "data" "$(sha256sum </mnt/data)" "$sum"
	umount /mnt
	check "fsck" "e2fsck -fn /dev/$disk"
	dmesg_findings
}

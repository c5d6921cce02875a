# SPDX-License-Identifier: MIT
# Guest side: a DVD-ROM drive.

# One checksum over all files and their names, as tests/vm/images makes it.
sum_of_tree() { # directory
	(cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
}

mount_dvd() { # what for
	wait_until "medium in $drive" mount -t iso9660 -o ro "$drive" /mnt 2>/tmp/mount.out || return
	is "$1" "$(sum_of_tree /mnt)" "$dvd_sum"
}

events() { # what for, bytes of the reply
	check "GET EVENT, $1" "sg_raw -r 8 $drive 4a 01 00 00 10 00 00 00 08 00" "$2"
}

job_dvd() {
	find_disks || return
	load cdrom
	load sr_mod
	load isofs
	wait_for /dev/sr0 || return
	drive=/dev/sr0
	check "sg_inq" "sg_inq $drive" 'PDT=5' 'RMB=1' 'Virtual DVD-ROM'
	check "sg_get_config" "sg_get_config $drive" 'DVD-ROM' 'Removable media feature' 'DVD read feature'
	check "sg_readcap" "sg_readcap $drive" 'Logical block length=2048 bytes'
	is "size" "$(cat /sys/block/sr0/size)" $((dvd_bytes / 512))
	echo 200 >/sys/block/sr0/events_poll_msecs # as udev does, but ten times as often
	echo 0 >/proc/sys/dev/cdrom/autoclose # or open() closes the tray before it looks for a medium
	mount_dvd "checksums"
	check "no eject while it is mounted" -s 5 "sg_start --eject $drive"
	umount /mnt
	check "eject" "eject $drive"
	check "no medium" -s 1 "dd if=$drive of=/dev/null bs=2048 count=1" 'No medium found'
	events "open" '00 06 04 10 .. 01'
	check "close" "eject -t $drive"
	mount_dvd "checksums after eject and close"
	umount /mnt
	check "sg_start --eject" "sg_start --eject $drive"
	check "sg_start --load" "sg_start --load $drive"
	mount_dvd "checksums after sg_start"
	umount /mnt
	count=0
	while [ $count -lt 100 ]; do
		with_tools sg_raw -r 8 $drive 4a 01 00 00 10 00 00 00 08 00 >/dev/null 2>&1 || break
		count=$((count + 1))
	done
	is "100 GET EVENTs" $count 100
	events "closed" '00 06 04 10 0. 02'
	check "the disks are still there" "lsblk -n -d -o NAME" 'sda' 'sdb' 'sr0'
	dmesg_findings
}

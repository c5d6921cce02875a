# SPDX-License-Identifier: MIT
# Guest side: data on every kind of disk behind the controller, and file systems.

# Four jobs at once, each on a part of the disk of its own: block sizes from 512 bytes to a megabyte,
# queue depths from 1 to 256, every block trimmed, written and verified. The deepest queue has small
# blocks, or it alone would need 256 MiB of buffers. A fifth job trims what must then read as zeros.
verify_mixed() { # name, disk
	mixed="--bssplit=512/10:4k/40:12k/20:64k/20:1m/10"
	small="--bssplit=512/10:4k/60:12k/20:64k/10"
	dd if=/dev/urandom of="/dev/$2" bs=1M seek=$((mib * 4)) count="$mib" 2>/dev/null
	blockdev --flushbufs "/dev/$2"
	with_tools fio --name=global --filename="/dev/$2" --ioengine=io_uring --direct=1 --rw=randtrimwrite \
		--thread=1 --size="${mib}M" --verify=crc32c --verify_state_save=0 --verify_fatal=1 --do_verify=1 \
		--randrepeat=0 --minimal \
		--name=depth1 --iodepth=1 $mixed --offset=0 \
		--name=depth16 --iodepth=16 $mixed --offset="${mib}M" \
		--name=depth64 --iodepth=64 $mixed --offset=$((mib * 2))M \
		--name=depth256 --iodepth=256 $small --offset=$((mib * 3))M \
		--name=trim --rw=randtrim --verify=0 --bs=32k --iodepth=8 --offset=$((mib * 4))M >/tmp/fio.out 2>&1
	is "$1: fio verify" "$? $(grep -v '^3;' /tmp/fio.out | head -n 3)" "0 "
	[ "$(discards_of "$2")" -gt $((mib * 32)) ] || not_ok "$1: fio trims" "$(discards_of "$2")"
	is "$1: trimmed blocks read as zeros" \
		"$(dd if="/dev/$2" bs=1M skip=$((mib * 4)) count="$mib" 2>/dev/null | tr -d '\0' | wc -c)" 0
}

discards_of() { # disk; discards completed
	awk '{ print $12 }' "/sys/block/$1/stat"
}

sum_of_file() { sha256sum <"$1" | cut -c1-16; }

# Made, filled, mounted anew, compared, trimmed, checked.
file_system() { # type, disk, "mkfs command", "fsck command"
	with_tools $3 "/dev/$2" >/tmp/mkfs.out 2>&1 || { not_ok "$1 on $2" "$(tail -n 3 /tmp/mkfs.out)"; return; }
	mount -t "$1" "/dev/$2" /mnt || { not_ok "$1 on $2" "mount"; return; }
	mkdir -p /mnt/many
	for i in 1 2 3 4 5 6 7 8; do head -c 700001 /dev/urandom >/mnt/many/$i; done
	cat /mnt/many/* | sha256sum >/tmp/before
	rm /mnt/many/8
	mount --bind /mnt /tools/mnt
	with_tools fstrim /mnt || not_ok "fstrim of $1" "$?"
	umount /tools/mnt
	cat /mnt/many/* | sha256sum >/tmp/before
	umount /mnt
	mount -t "$1" "/dev/$2" /mnt || { not_ok "$1 on $2" "mount again"; return; }
	cat /mnt/many/* | sha256sum >/tmp/after
	umount /mnt
	is "$1: data after remount" "$(cat /tmp/after)" "$(cat /tmp/before)"
	check "$1: fsck" "$4 /dev/$2"
}

# $kinds, joined by "+", are LUNs 0, 2, 3, ...
job_block() {
	find_disks || return
	lun=0
	for kind in $(echo "$kinds" | tr + ' '); do
		wait_for_lun $lun || return
		verify_mixed "$kind" "$(disk_of_lun $lun)"
		lun=$((lun ? lun + 1 : 2))
	done
	dmesg_findings
}

job_filesystems() {
	find_disks || return
	load xfs
	load btrfs
	file_system ext4 "$disk" "mkfs.ext4 -q -F" "e2fsck -fn"
	wait_for_lun 2 && file_system xfs "$(disk_of_lun 2)" "mkfs.xfs -q -f" "xfs_repair -n"
	wait_for_lun 3 && file_system btrfs "$(disk_of_lun 3)" "mkfs.btrfs -q -f" "btrfs check --readonly"
	dmesg_findings
}

# SPDX-License-Identifier: MIT
# Guest side: boot, data, reboot, kexec, crash, and the demo.

FIO_COMMON="--ioengine=io_uring --direct=1 --group_reporting --output-format=json"

# Random writes of every size, verified from the media.
fio_verify() {
	with_tools fio --name=verify --filename="/dev/$disk" $FIO_COMMON --rw=randwrite \
		--bsrange=512-256k --blocksize_unaligned=0 --bs_unaligned=0 --iodepth=16 --size=24M --io_size=24M \
		--verify=crc32c --do_verify=1 --verify_fatal=1 --verify_state_save=0 --output=/tmp/verify.json >/dev/null 2>/tmp/fio.err
	say fio_verify $?
	[ -s /tmp/fio.err ] && say fio_stderr "$(head -n 1 /tmp/fio.err)"
}

filesystem() {
	with_tools mkfs.ext4 -q -F "/dev/$disk" 2>/dev/null
	say mkfs $?
	mount -t ext4 "/dev/$disk" /mnt && {
		head -c 2000000 /dev/urandom >/mnt/data
		sum=$(sha256sum </mnt/data)
		umount /mnt
		mount -t ext4 "/dev/$disk" /mnt
		[ "$sum" = "$(sha256sum </mnt/data)" ]
		say remount $?
		umount /mnt
	}
	with_tools e2fsck -fn "/dev/$disk" >/dev/null 2>&1
	say fsck $?
}

job_io() {
	find_disks || return
	describe
	fio_verify
	filesystem
	dmesg_findings
}

# The first boot leaves a mark on the disk and resets; the second finds it.
job_reboot() {
	find_disks || return
	if [ "$(head -c 6 "/dev/$disk")" = MARKED ]; then
		say second_boot "$(uname -r)"
		dmesg_findings
		return
	fi
	printf MARKED | dd of="/dev/$disk" conv=notrunc,fsync 2>/dev/null
	say first_boot "$(uname -r)"
	dmesg_findings
	reboot -f
}

job_kexec() {
	find_disks || return
	if grep -q enlite.kexeced /proc/cmdline; then
		say kexec_booted "$(uname -r)"
		describe
		filesystem
		dmesg_findings
		return
	fi
	with_tools kexec -c -l /boot/vmlinuz --initrd=/boot/initrd \
		--command-line="$(cat /proc/cmdline) enlite.kexeced"
	say kexec_load $?
	umount /tools/dev /tools/proc /tools/sys 2>/dev/null
	with_tools kexec -e
}

job_crash() {
	find_disks || return
	say crashing now
	echo 1 >/proc/sys/kernel/sysrq
	echo c >/proc/sysrq-trigger
}


# One measured fio run between two checkpoints: "@fio_NAME STATUS READ_IOPS WRITE_IOPS", from fio's
# terse format (fields 5, 8 and 49).
fio_phase() { # name, fio options...
	name=$1
	shift
	checkpoint "before_$name"
	with_tools fio --name="$name" --filename="/dev/$disk" --ioengine=io_uring --direct=1 --bs=4k \
		--size=32M --verify=crc32c --verify_fatal=1 --verify_state_save=0 --randseed=1 --group_reporting \
		--output-format=terse --terse-version=3 "$@" >/tmp/fio.out 2>/tmp/fio.err
	status=$?
	say "fio_$name" "$status $(grep '^3;' /tmp/fio.out | cut -d';' -f8,49 | tr ';' ' ')"
	[ -s /tmp/fio.err ] && say fio_stderr "$(head -n 1 /tmp/fio.err)"
	checkpoint "after_$name"
}

# What `make demo` shows: a file system, then 4 KiB random I/O whose every block is verified.
job_demo() {
	find_disks || return
	describe
	filesystem
	fio_phase fill --rw=write --iodepth=32 --do_verify=0
	fio_phase randread1 --rw=randread --iodepth=1 --io_size=12M
	fio_phase randread32 --rw=randread --iodepth=32
	fio_phase randwrite32 --rw=randwrite --iodepth=32 --do_verify=1
	# shellcheck disable=SC2154 # set by the host's script
	[ "$nics" = 0 ] || demo_network
	dmesg_findings
}

job_boot() { :; }

# SPDX-License-Identifier: MIT
# Guest side: its services' driver goes and comes while the host asks, it resets and starts another kernel.

# hv_utils cannot go while a daemon has its device.
reload_services() {
	for daemon in hv_kvp_daemon hv_vss_daemon hv_fcopy_daemon hv_fcopy_uio_daemon; do
		daemon_is_gone $daemon || stop_daemon $daemon
	done
	wait_until "hv_utils goes" rmmod hv_utils || return
	load hv_utils
	wait_for /dev/vmbus/hv_kvp && wait_for /dev/vmbus/hv_vss && start_all_daemons
}

start_all_daemons() {
	start_daemon hv_kvp_daemon
	start_daemon hv_vss_daemon
	if [ -e /tools/bin/hv_fcopy_uio_daemon ]; then
		load uio_hv_generic
		start_daemon hv_fcopy_uio_daemon
	elif [ -e /tools/bin/hv_fcopy_daemon ]; then
		start_daemon hv_fcopy_daemon
	fi
}

# A file system to freeze, new with each boot.
begin_life() {
	with_tools mkfs.ext4 -q -F "/dev/$disk"
	mount -t ext4 "/dev/$disk" /tools/mnt
	start_all_daemons
	checkpoint life_begin
	boots=$answer
}

first_life() {
	n=0
	while [ $n -lt "${reloads:-1}" ]; do
		n=$((n + 1))
		reload_services || return
	done
	checkpoint life_check reload
	checkpoint life_ask
	checkpoint life_pause
	checkpoint life_check pause
	checkpoint life_ask
	echo 1 >/proc/sys/kernel/sysrq
	echo b >/proc/sysrq-trigger
	sleep 60
}

second_life() {
	with_tools kexec -c -l /boot/vmlinuz --initrd=/boot/initrd --command-line="$(cat /proc/cmdline) enlite.kexeced"
	with_tools kexec -e
}

# The host asks on from boot to boot.
job_ic_life() {
	find_disks && load_services || return
	begin_life
	if grep -q enlite.kexeced /proc/cmdline; then
		checkpoint life_check kexec
		umount /tools/mnt
	elif [ "$boots" = 1 ]; then
		first_life
	else
		second_life
	fi
}

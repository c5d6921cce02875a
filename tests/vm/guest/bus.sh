# SPDX-License-Identifier: MIT
# Guest side: our own bus, and the kernel's, which cannot both have the host.

module_path() { # name
	grep -o "[^ ]*/$1\.ko" /lib/load-modules | head -n 1
}

# What insmod says, and the one line of the kernel about it. busybox's insmod tries it twice.
refused() { # name of the check, module file, what insmod says, what the kernel says
	dmesg -c >/dev/null
	why=$(insmod $2 2>&1) && { not_ok "$1" "it was loaded"; return 1; }
	echo "$why" | grep -q "$3" || { not_ok "$1" "insmod says $why"; return 1; }
	[ -z "$4" ] || [ "$(dmesg | sed 's/^[^]]*] //' | sort -u | grep -c "$4")" = 1 ] || { not_ok "$1" "the kernel says $(dmesg | tail -n 3)"; return 1; }
	ok "$1"
}

one_bus_only() {
	why=$(insmod "$(module_path hv_vmbus)" 2>&1) && not_ok "insmod hv_vmbus" "it succeeds"
	is "hv_vmbus beside ours" "$(ls -d /sys/module/hv_vmbus 2>/dev/null)" ""
	say hv_vmbus_says "$why"
	say hv_vmbus_kernel_says "$(dmesg | tail -n 2 | tr '\n' ';')"
	dd if="/dev/$disk" of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null
	is "our disk after hv_vmbus has tried" $? 0
}

# The other way round; ours has been unloaded.
kernels_bus_only() {
	insmod /lib/ours/winhv.ko
	is "winhv beside hv_vmbus" $? 0
	insmod /lib/ours/vsc.ko
	insmod "$(module_path hv_vmbus)" || { not_ok "hv_vmbus after ours" "insmod failed"; return 1; }
	refused "vmbus_vsc beside hv_vmbus" /lib/ours/vmbus_vsc.ko 'busy' 'vmbus_vsc: another driver has VMBus already' || return
	insmod /lib/ours/vsc_hv.ko && insmod /lib/ours/storvsc.ko && wait_for_lun 0
	is "our storvsc on hv_vmbus" $? 0
	rmmod storvsc && rmmod vsc_hv && rmmod vsc && rmmod winhv && rmmod hv_vmbus
	is "hv_vmbus is unloaded" $? 0
}

cpu_switch() { # 0 or 1
	for cpu in /sys/devices/system/cpu/cpu[1-9]*; do
		echo "$1" >"$cpu/online" || return 1
	done
}

# Channels leave a CPU before it goes; verified I/O goes on.
cpus_come_and_go() {
	[ "$(nproc)" -gt 1 ] || return 0
	start_busy "$disk"
	i=0
	while [ $i -lt "$cycles" ] && cpu_switch 0; do
		[ "$(cat "/sys/bus/vmbus/devices/$1"/channels/*/cpu | sort -u)" = 0 ] ||
			{ not_ok "channels on CPU 0" "$(cat "/sys/bus/vmbus/devices/$1"/channels/*/cpu)"; break; }
		cpu_switch 1 || break
		i=$((i + 1))
	done
	is "CPUs off and on, $cycles times" $i "$cycles"
	stop_busy "fio beside it"
}

# /sys/bus/vmbus as scripts know it.
bus_in_sysfs() { # device
	device=/sys/bus/vmbus/devices/$1
	is "class_id" "$(cat "$device/class_id")" "{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f}"
	is "device_id" "$(cat "$device/device_id")" "{$1}"
	is "modalias" "$(cat "$device/modalias")" "vmbus:d96361baa104294db60572e2ffb1dc7f"
	is "channel_vp_mapping" "$(wc -l <"$device/channel_vp_mapping")" "$(nproc)"
	is "CPUs of the channels" "$(cut -d: -f2 "$device/channel_vp_mapping" | sort -u | wc -l)" "$(nproc)"
}

# A whole controller is rescinded while its disk is read, and offered again.
controllers_come_and_go() {
	i=0
	while [ $i -lt "$cycles" ]; do
		checkpoint add_controller
		wait_for_lun_of_second || return
		dd if="/dev/$(second_disk)" of=/dev/null bs=4k iflag=direct 2>/dev/null &
		reader=$!
		checkpoint remove_controller
		wait_until "the second controller goes" no_second_disk || return
		wait $reader
		i=$((i + 1))
	done
	ok "a controller comes and goes, $cycles times"
}

wait_for_lun_of_second() { wait_until "the second controller" has_second_disk; }
no_second_disk() { ! has_second_disk; }

job_bus() {
	find_disks || return
	mount -t debugfs debugfs /sys/kernel/debug
	describe
	bus_in_sysfs "$(vmbus_device_of "$disk")"
	cpus_come_and_go "$(vmbus_device_of "$disk")"
	dmesg_findings
	dmesg -n 1 # what follows is not quiet
	one_bus_only
	put_tools_away
	reload_ours
	unload_ours
	kernels_bus_only && load_ours
	wait_for_lun 0
	is "ours after hv_vmbus" $? 0
	is "warnings" "$(dmesg | grep -E 'WARNING:|BUG:|Call Trace|blocked for more' | head -n 3)" ""
}

job_bus_hotplug() {
	find_disks || return
	dmesg -n 1
	start_busy "$disk"
	controllers_come_and_go
	stop_busy "fio beside it"
	is "warnings" "$(dmesg | grep -E 'WARNING:|BUG:|Call Trace|blocked for more' | head -n 3)" ""
}

# The newest version that the module asks for; the host accepts all of these.
job_bus_versions() {
	for version in 0x50003 0x50002 0x50001 0x50000 0x40001 0x40000 0x30000 0x20004; do
		rmmod storvsc && rmmod vmbus_vsc || { not_ok "rmmod" "before $version"; return; }
		insmod /lib/ours/vmbus_vsc.ko max_version=$((version)) && insmod /lib/ours/storvsc.ko
		wait_for_lun 0 || return
		dd if="/dev/$(disk_of_lun 0)" of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null
		is "version $version" "$?" 0
		[ $((version)) -ge $((0x50003)) ] || [ "$(nproc)" = 1 ] || ! cpu_switch 0 2>/dev/null ||
			not_ok "CPUs of version $version" "they go, but interrupts cannot"
		cpu_switch 1 2>/dev/null
	done
	rmmod storvsc
	rmmod vmbus_vsc
	refused "a version that there is not" "/lib/ours/vmbus_vsc.ko max_version=1" 'nvalid' ''
}

# The kernel crashes while its disk is busy; the one that takes over writes what it was to that disk.
job_bus_kdump() {
	find_disks || return
	if grep -q enlite.kdump /proc/cmdline; then
		say dump_kernel "$(uname -r)"
		dd if=/proc/vmcore of="/dev/$disk" bs=1M count=16 conv=fsync 2>/dev/null
		is "the dump is written" $? 0
		echo 3 >/proc/sys/vm/drop_caches
		is "what it begins with" "$(dd if="/dev/$disk" bs=4 count=1 2>/dev/null | tail -c 3)" ELF
		dmesg_findings
		return
	fi
	with_tools kexec -s -p /boot/vmlinuz --initrd=/boot/initrd \
		--command-line="$(sed 's/crashkernel=[^ ]*//' /proc/cmdline) nr_cpus=1 reset_devices enlite.kdump"
	say kexec_load $?
	start_busy "$disk"
	wait_until "writes" busy_has_begun || return
	echo 1 >/proc/sys/kernel/sysrq
	# shellcheck disable=SC2154 # set by the host's script
	taskset -c "$crash_cpu" sh -c 'echo c >/proc/sysrq-trigger'
}

busy_has_begun() { [ "$(awk '{ print $5 }' "/sys/block/$disk/stat")" -gt 20 ]; }

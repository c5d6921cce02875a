# SPDX-License-Identifier: MIT
# Guest side: it is paused and resumed, and must not notice.

uptime_now() { cut -d' ' -f1 /proc/uptime; }

clock_source() { cat /sys/devices/system/clocksource/clocksource0/current_clocksource; }

# A clock that jumped, a CPU that stood still for too long.
stall_findings() {
	dmesg | grep -iE 'clocksource.*(unstable|skew)|soft lockup|rcu.*stall' |
		head -n 3 | while read -r line; do
		say fail "$line"
	done
}

job_pause() {
	find_disks || return
	say clocksource "$(clock_source)"
	start_busy "$disk"
	checkpoint before_pauses
	say uptime_before "$(uptime_now)"
	checkpoint pauses
	say uptime_after "$(uptime_now)"
	checkpoint after_pauses
	stop_busy "fio verify while it is paused"
	checkpoint idle
	say clocksource_after "$(clock_source)"
	stall_findings
	dmesg_findings
}

vmbus_device_of() { # disk
	readlink -f "/sys/block/$1/device" | sed 's|.*/\([0-9a-f-]*\)/host[0-9]*/.*|\1|'
}

block_of_device() { # vmbus device
	for link in "/sys/bus/vmbus/devices/$1"/host*/target*/*/block/*; do
		[ -e "$link" ] && basename "$link"
	done
}

is_bound() { [ -n "$(block_of_device "$1")" ] && [ -e "/dev/$(block_of_device "$1")" ]; }

# Controller 1: all its channels close and open again.
rebind_cycle() { # vmbus device
	echo "$1" >"/sys/bus/vmbus/drivers/$(storage_driver)/unbind" || return
	echo "$1" >"/sys/bus/vmbus/drivers/$(storage_driver)/bind" || return
	wait_until "the disk is there again" is_bound "$1" || return
	dd if="/dev/$(block_of_device "$1")" of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null
}

plug_cycle() { # number
	checkpoint pause_add "$1"
	wait_for_lun 5 || return
	hot=$(disk_of_lun 5)
	[ "$(dd if="/dev/$hot" bs=512 count=1 iflag=direct 2>/dev/null | head -c 8)" = "$(printf 'CYCLE%03d' "$1")" ] ||
		return 1
	checkpoint pause_remove
	wait_gone "/sys/class/scsi_device/$(scsi_of_lun 5)"
}

repeat() { # function arguments...
	i=0
	while [ $i -lt "$cycles" ]; do
		"$@" $i || return
		i=$((i + 1))
	done
}

reset_cycle() {
	with_tools sg_reset --device "/dev/$disk" >/dev/null
}

second_disk() {
	for block in /sys/block/sd*; do
		[ "$(cat "$block/size")" = 65536 ] && basename "$block"
	done
}

has_second_disk() { [ -n "$(second_disk)" ]; }

job_pause_life() {
	find_disks || return
	checkpoint pause_second
	wait_until "the second controller" has_second_disk || return
	device=$(vmbus_device_of "$(second_disk)")
	dmesg -n 1 # disks that come and go are talked about, in the middle of our lines
	repeat rebind_cycle "$device"
	is "closes and opens" $? 0
	start_busy "$disk"
	repeat reset_cycle
	is "LUN resets" $? 0
	repeat plug_cycle
	is "disks come and go" $? 0
	stop_busy "fio verify beside all that"
	stall_findings
	dmesg_findings
}

hangs() { [ "$(awk '{ print $9 }' "/sys/block/$stuck/stat")" -ge 1 ]; }

job_pause_stuck() {
	find_disks && wait_for_lun 2 || return
	stuck=$(disk_of_lun 2)
	with_tools dd if=/dev/zero of="/dev/$stuck" bs=4k count=1 oflag=direct 2>/dev/null &
	writer=$!
	wait_until "the write hangs" hangs || return
	checkpoint pause_refused
	check "the other disk works" "dd if=/dev/$disk of=/dev/null bs=64k count=16 iflag=direct"
	wait $writer
	is "the write completes" $? 0
	checkpoint pause_works
	stall_findings
	dmesg_findings
}

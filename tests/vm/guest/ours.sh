# SPDX-License-Identifier: MIT
# Guest side: what only our own storvsc has.

statistics() { # host number, name; the sum over its channels
	tr -s ' ' '\n' <"/sys/kernel/debug/storvsc/host$1/channels" |
		awk -v name="$2" 'found { sum += $1; found = 0 } $1 == name { found = 1 } END { print sum + 0 }'
}

host_of() { # disk
	readlink -f "/sys/block/$1/device" | sed 's|.*/host\([0-9]*\)/.*|\1|'
}

# Every request is completed, once, and nothing came that was not asked for.
accounts() { # what for, host
	is "$1: completed" "$(statistics "$2" completed)" "$(statistics "$2" sent)"
	is "$1: stray and invalid packets" "$(statistics "$2" stray) $(statistics "$2" invalid)" "0 0"
}

fio_run() { # disk, fio options...
	file=/dev/$1
	shift
	with_tools fio --name=run --filename="$file" --ioengine=io_uring --direct=1 --bs=4k --iodepth=16 \
		--size=${mib}M --verify=crc32c --verify_state_save=0 --verify_fatal=1 --do_verify=1 --randrepeat=0 \
		"$@" >/tmp/run.out 2>&1
}

# While all requests in flight are polled for, the host sends no interrupt.
polling() {
	host=$(host_of "$second")
	before=$(statistics "$host" interrupts)
	fio_run "$second" --rw=randwrite --hipri=1
	is "fio with hipri" "$? $(head -n 2 /tmp/run.out | grep -i err)" "0 "
	polled=$(statistics "$host" polled)
	say polled_interrupts $(($(statistics "$host" interrupts) - before))
	[ "$polled" -ge $((mib * 512)) ] || not_ok "polled requests" "$polled"
	# Timers of the block layer and the like may send a request of their own.
	is "interrupts for $polled polled requests" \
		"$([ $(($(statistics "$host" interrupts) - before)) -lt $((polled / 50 + 8)) ] && echo few)" few
}

# Polled and other requests at the same time, on the same channels.
mixed() {
	fio_run "$second" --rw=randwrite &
	other=$!
	fio_run "$second" --rw=randwrite --hipri=1 --offset=16M
	is "hipri beside interrupts" $? 0
	wait $other
	is "interrupts beside hipri" $? 0
}

# The controller goes while reads and writes are in flight; they fail, and it comes again.
rebind_under_load() { # vmbus device
	i=0
	while [ $i -lt "$cycles" ]; do
		block=$(block_of_device "$1")
		for n in 1 2 3 4; do
			dd if="/dev/$block" of=/dev/null bs=64k iflag=direct 2>/dev/null &
			dd if=/dev/zero of="/dev/$block" bs=4k oflag=direct 2>/dev/null &
		done
		usleep $((i * 20000))
		rebind_cycle "$1" || { not_ok "unbind and bind under load" "cycle $i"; return; }
		i=$((i + 1))
	done
	ok "unbind and bind under load, $cycles times"
}

# All modules go and come, with both controllers.
reload_ours() {
	i=0
	while [ $i -lt "$cycles" ]; do
		unload_ours || { not_ok "rmmod" "cycle $i"; return; }
		[ ! -e /sys/kernel/debug/storvsc ] || { not_ok "rmmod" "debugfs stays"; return; }
		load_ours
		wait_for_lun 0 || return
		dd if="/dev/$(disk_of_lun 0)" of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null ||
			{ not_ok "reading after insmod" "cycle $i"; return; }
		i=$((i + 1))
	done
	ok "rmmod and insmod, $cycles times"
}

# The tool that people look with, in a guest.
tool_shows() {
	if our_bus; then bus=vmbus_vsc; else bus=hv_vmbus; fi
	mount -t debugfs debugfs /tools/sys/kernel/debug
	check "enlite-guest" "enlite-guest" "^bus $bus, [1-9]" "^SCSI controller .*: storvsc, host" "doorbells/req" '^ +0 .* <[1-9]'
	check "enlite-guest --json" "enlite-guest --json" '"in_used": [0-9]' '"latency_us": \['
	umount /tools/sys/kernel/debug
}

put_tools_away() {
	umount /tools/dev /tools/proc /tools/sys /tools/tmp /tools/run /tools
}

job_ours() {
	find_disks && wait_until "the second controller" has_second_disk || return
	mount -t debugfs debugfs /sys/kernel/debug
	second=$(second_disk)
	describe
	polling
	mixed
	accounts "second controller" "$(host_of "$second")"
	accounts "first controller" "$(host_of "$disk")"
	tool_shows
	dmesg_findings
	dmesg -n 1 # what follows is not quiet
	rebind_under_load "$(vmbus_device_of "$second")"
	wait
	put_tools_away
	reload_ours
	say faults "$(dmesg | grep -cE 'WARNING:|BUG:|Call Trace|blocked for more')"
	is "warnings" "$(dmesg | grep -E 'WARNING:|BUG:|Call Trace|blocked for more' | head -n 3)" ""
}

# ---- beside the kernel's driver ----------------------------------------------

driver_of() { # vmbus device
	basename "$(readlink "/sys/bus/vmbus/devices/$1/driver")"
}

reads() { # vmbus device
	dd if="/dev/$(block_of_device "$1")" of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null
}

# As modprobe.d of the guest's package has it: the kernel's driver comes after ours, and has what is left.
job_both_drivers() {
	find_disks || return
	dmesg -n 1
	first=$(vmbus_device_of "$disk")
	grep '/hv_storvsc' /lib/load-modules | sh
	is "the kernel's driver" "$(ls -d /sys/bus/vmbus/drivers/hv_storvsc)" /sys/bus/vmbus/drivers/hv_storvsc
	is "who has a controller that was there before" "$(driver_of "$first")" storvsc
	checkpoint add_controller
	wait_for_lun_of_second || return
	device=$(vmbus_device_of "$(second_disk)")
	is "who has one that came after both" "$(driver_of "$device")" storvsc
	reads "$device"
	is "it can be read" $? 0
	put_tools_away
	rmmod storvsc
	echo "$device" >/sys/bus/vmbus/drivers_probe
	wait_until "the disk is there again" is_bound "$device" || return
	is "who has it when ours is gone" "$(driver_of "$device")" hv_storvsc
	reads "$device"
	is "it can be read by the kernel's driver" $? 0
	is "warnings" "$(dmesg | grep -E 'WARNING:|BUG:|Call Trace|blocked for more' | head -n 3)" ""
}

# ---- a host that does not answer ---------------------------------------------

since() { # start; seconds since
	echo $(($(cut -d. -f1 /proc/uptime) - $1))
}

now() { cut -d. -f1 /proc/uptime; }

# A write that never ends is aborted by resets of its LUN, retried, and fails in the end.
lun_reset() {
	slow=$(disk_of_lun 2)
	echo 3 >"/sys/block/$slow/device/timeout"
	start=$(now)
	check "a write that hangs fails" -s 1 "dd if=/dev/zero of=/dev/$slow bs=4k count=1 oflag=direct" 'error'
	say lun_reset_seconds "$(since "$start")"
	dmesg | grep -q 'resetting the LUN' || not_ok "LUN reset" "none in dmesg"
	check "its controller works" "dd if=/dev/$disk of=/dev/null bs=64k count=16 iflag=direct"
	check "it can be read" "dd if=/dev/$slow of=/dev/null bs=64k count=16 iflag=direct"
}

# No reset helps: all commands of the controller fail, and it is used again when the host has let go of it.
controller_failure() {
	second=$(second_disk)
	device=$(vmbus_device_of "$second")
	echo 3 >"/sys/block/$second/device/timeout"
	echo 5 >/sys/module/storvsc/parameters/failure_timeout
	checkpoint writes_stop
	start=$(now)
	check "a write that no reset ends fails" -s 1 "dd if=/dev/zero of=/dev/$second bs=4k count=1 oflag=direct" 'error'
	say failure_seconds "$(since "$start")"
	dmesg | grep -q 'controller failed' || not_ok "failure" "none in dmesg"
	check "the other controller works" "dd if=/dev/$disk of=/dev/null bs=64k count=16 iflag=direct"
	checkpoint writes_go_on
	rebind_cycle "$device"
	is "the controller works again" $? 0
}

job_recovery() {
	find_disks && wait_for_lun 2 && wait_until "the second controller" has_second_disk || return
	dmesg -n 1
	lun_reset
	controller_failure
	is "warnings" "$(dmesg | grep -E 'WARNING:|BUG:|Call Trace|blocked for more' | head -n 3)" ""
}

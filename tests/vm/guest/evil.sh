# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034,SC2154
# Guest side: a host that lies. What it does to a disk or a NIC ends; nothing that it says is more than a line in
# the log; and when it is honest again, everything works again.

# A request that its driver has to recover takes a minute: timeout, resets of LUN and controller, the end.
ends_in_time() { # what, process
	tries=0
	until process_ended "$2"; do
		tries=$((tries + 1))
		[ $tries -lt 3600 ] || { not_ok "$1 ends" "$(cat "/proc/$2/stack" 2>/dev/null)"; return 1; }
		usleep 50000
	done
}

process_ended() { [ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }

evil_io() { # disk
	chroot /tools fio --name=evil --filename="/dev/$1" --ioengine=io_uring --direct=1 --rw=randrw --bs=4k-64k \
		--iodepth=16 --size=16M --runtime=3 --time_based --continue_on_error=all --randrepeat=0 \
		>/tmp/evil.out 2>&1 </dev/null
}

evil_disk() { # vmbus device
	block=$(block_of_device "$1")
	[ -n "$block" ] || return 0
	echo 2 >"/sys/block/$block/device/timeout"
	evil_io "$block" &
	io=$!
	ends_in_time "I/O" $io
	wait $io
}

evil_nic() {
	nic=$(nic_of 0)
	[ -n "$nic" ] || return 0
	ip link set "$nic" up 2>/dev/null
	ip addr add "$me/24" dev "$nic" 2>/dev/null
	ping -c 30 -i 0.05 -W 1 -s 1000 "$host" >/dev/null 2>&1
	chroot /tools netload "$host" 5202 tcp both 2 3 >/dev/null 2>&1 </dev/null &
	load=$!
	usleep 4000000
	kill -KILL $load 2>/dev/null
	wait $load
}

rebind_evil() { # driver, vmbus device
	echo "$2" >"/sys/bus/vmbus/drivers/$1/unbind" 2>/dev/null
	echo "$2" >"/sys/bus/vmbus/drivers/$1/bind" 2>/dev/null
}

# Both at once, then a new start for what has failed.
evil_round() {
	evil_nic &
	traffic=$!
	evil_disk "$evil_scsi" || return
	wait $traffic
	rebind_evil storvsc "$evil_scsi"
	rebind_evil netvsc "$evil_net"
}

evil_rounds() {
	rounds=0
	checkpoint evil begin
	while [ "${answer:-0}" -lt "$lies" ]; do
		evil_round || break
		rounds=$((rounds + 1))
		checkpoint evil count
	done
	checkpoint evil end
	say rounds $rounds
}

# The host is honest: both devices come, and work.
honest_again() {
	rebind_evil storvsc "$evil_scsi"
	wait_until "the disk of the second controller" is_bound "$evil_scsi" || return
	check "the disk works" "dd if=/dev/$(block_of_device "$evil_scsi") of=/dev/null bs=64k count=64 iflag=direct"
	rebind_evil netvsc "$evil_net"
	wait_until "the NIC" has_nic 0 || return
	nic=$(nic_of 0)
	bring_up "$me" "$me6"
	for size in 0 56 1472 8000; do
		wait_until "an answer to $size bytes" host_answers "$size" || return
	done
	run_load "tcp" tcp both 2 1
}

# Frames may be lost, on a busy machine, but not each time.
host_answers() { ping -c 1 -W 5 -s "$1" "$host" >/dev/null 2>&1; }

job_evil() {
	find_disks && wait_until "the second controller" has_second_disk && find_nic 0 && bring_up "$me" "$me6" || return
	dmesg -n 1
	evil_scsi=$(vmbus_device_of "$(second_disk)")
	evil_net=$(nic_device)
	echo 10 >/sys/module/storvsc/parameters/failure_timeout
	! our_bus || echo 10 >/sys/module/vmbus_vsc/parameters/return_timeout
	evil_rounds
	honest_again
	say evil "$(dmesg | grep -cE 'NIC failed|controller failed|memory is lost')" of its devices failed
	put_tools_away
	rmmod netvsc
	is "rmmod netvsc" $? 0
	cycles=1 reload_ours
	is "warnings" "$(dmesg | grep -E 'WARNING:|BUG:|Oops|Call Trace|blocked for more' | head -n 3)" ""
}

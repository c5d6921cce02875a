# SPDX-License-Identifier: MIT
# Integration services: the guest's side. Sourced by init (busybox sh).

# The device of a service: /sys/bus/vmbus/devices/GUID.
service_device() { # beginning of the class
	for device in /sys/bus/vmbus/devices/*; do
		grep -q "^{$1" "$device/class_id" && echo "$device"
	done
}

load_services() {
	load hv_utils
	mkdir -p /tools/var 2>/dev/null
	mount -t tmpfs var /tools/var
	mkdir -p /tools/var/lib/hyperv /tools/var/log /tools/tmp/dir
	wait_for /dev/vmbus/hv_kvp && wait_for /dev/vmbus/hv_vss
}

# Daemons are told apart by their name; -n: in the foreground.
start_daemon() { # name
	with_tools "$1" -n >"/tmp/$1.out" 2>&1 &
}

daemon_pid() { # name
	pidof "$1"
}

stop_daemon() { # name
	kill $(pidof "$1")
	wait_until "$1 ends" daemon_is_gone "$1"
}

daemon_is_gone() { [ -z "$(pidof "$1")" ]; }

versions() { dmesg | sed -n 's/.*hv_utils: \(.* IC version .*\)/\1/p' | sort | tr '\n' ';'; }

job_ic() {
	find_disks || return
	load_services || return
	start_daemon hv_kvp_daemon
	start_daemon hv_vss_daemon
	wait_until "kvp" kvp_ready
	is "versions" "$(versions)" "Heartbeat IC version 3.0;KVP IC version 4.0;Shutdown IC version 3.2;TimeSync IC version 4.0;VSS IC version 5.0;"
	is "PTP clock" "$(cat /sys/class/ptp/ptp0/clock_name)" hyperv
	checkpoint ic_status
	checkpoint ic_kvp
	od -c /tools/var/lib/hyperv/.kvp_pool_0 | head -20
	job_freeze
	dmesg_findings
	with_tools ls -la /var/lib/hyperv
	cat /tmp/hv_*.out
}

kvp_ready() { dmesg | grep -q 'KVP IC version'; }

job_freeze() {
	with_tools mkfs.ext4 -q "/dev/$disk"
	mkdir -p /tools/mnt
	mount -t ext4 "/dev/$disk" /tools/mnt
	echo before >/tools/mnt/file
	checkpoint ic_freeze
}

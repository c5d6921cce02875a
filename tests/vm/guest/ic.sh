# SPDX-License-Identifier: MIT
# Integration services: the guest's side. Sourced by init (busybox sh).

load_services() {
	load hv_utils
	wait_until "the services are open" services_bound
}

services_bound() { [ -e /sys/bus/vmbus/drivers/hv_utils ] && ls /sys/bus/vmbus/drivers/hv_utils/*-*/device >/dev/null 2>&1; }

job_ic_first() {
	find_disks || return
	load hv_utils
	sleep 3
	checkpoint heartbeat
	dmesg | grep -i 'IC version' | while read -r line; do say ic "$line"; done
	dmesg_findings
}

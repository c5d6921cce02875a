# SPDX-License-Identifier: MIT
# Guest side: it is saved and restored, and must not notice.

# By a second, whatever the checkpoint takes.
clock_is_right() {
	before=$(date +%s)
	checkpoint save_clock
	after=$(date +%s)
	[ "${answer:-0}" -ge $((before - 1)) ] && [ "${answer:-0}" -le $((after + 1)) ]
}

job_save() {
	find_disks || return
	load hv_utils
	say clocksource "$(clock_source)"
	start_busy "$disk"
	checkpoint saves
	say clocksource_after "$(clock_source)"
	wait_until "the clock is the host's" clock_is_right
	is "the clock is the host's" $? 0
	stop_busy "fio verify while it is saved"
	check "the disk works" "dd if=/dev/$disk of=/dev/null bs=64k count=16 iflag=direct"
	stall_findings
	dmesg_findings
}

# SPDX-License-Identifier: MIT
# Integration services: the guest's side. Sourced by init (busybox sh).

hyperv=/tools/var/lib/hyperv

load_services() {
	load hv_utils
	mount -t tmpfs var /tools/var
	mkdir -p $hyperv /tools/tmp/got
	wait_for /dev/vmbus/hv_kvp && wait_for /dev/vmbus/hv_vss
}

# In the foreground, so that what it says can be kept.
start_daemon() { # name
	with_tools "$1" -n >"/tmp/$1.out" 2>&1 &
}

daemon_is_gone() { [ -z "$(pidof "$1")" ]; }

stop_daemon() { # name
	kill "$(pidof "$1")"
	wait_until "$1 ends" daemon_is_gone "$1"
}

said_by_driver() { dmesg | grep -q "hv_utils: $1"; }

versions() { dmesg | sed -n 's/.*hv_utils: \(.*\) IC version \(.*\)/\1=\2/p' | sort -u | tr '\n' ' '; }

# ---- time --------------------------------------------------------------------

# Within a minute of the host's clock, which is given.
clock_is() { # seconds
	difference=$(($(date +%s) - $1))
	[ $difference -gt -60 ] && [ $difference -lt 60 ]
}

# A wrong clock is set right after a pause, at once and not later by samples.
wrong_clock() { # name, seconds
	date -s "@$(($(date +%s) + $2))" >/dev/null
	checkpoint ic_pause
	wait_until "the clock" clock_is "$answer"
	is "$1" $? 0
}

# The host's clock goes a day ahead and back while this notes what the guest's says.
follow_host_clock() {
	now=$(date +%s)
	touch /tmp/noting
	while [ -e /tmp/noting ]; do date +%s; usleep 200000; done >/tmp/clock &
	checkpoint ic_step
	rm /tmp/noting
	wait $!
	[ "$answer" = skipped ] && return
	is "a step of the host's clock is followed" "$(awk -v day=$((now + 86000)) '$1 > day { print "yes"; exit }' /tmp/clock)" yes
	wait_until "the clock" clock_is "$answer"
	is "and the step back" $? 0
}

# ---- key-value pairs ---------------------------------------------------------

# Key and value from a record of 512 and 2048 bytes.
record() { # pool number
	dd if="$hyperv/.kvp_pool_$1" bs=2560 skip="$2" count=1 2>/dev/null | tr -d '\0'
}

# As cloud-init does: a record at the end of pool 1.
append_record() { # key value
	{
		printf '%s' "$1"
		dd if=/dev/zero bs=1 count=$((512 - ${#1})) 2>/dev/null
		printf '%s' "$2"
		dd if=/dev/zero bs=1 count=$((2048 - ${#2})) 2>/dev/null
	} >>"$hyperv/.kvp_pool_1"
}

check_pairs() {
	is "what the host says of itself" "$(record 3 2)" VirtualMachineNamevm
	append_record Progress "cloud-init: 50%"
	checkpoint ic_kvp
	is "a pair the host has set" "$(record 0 0)" "GreetingGrüße, Ωmega, 漢字, 🎉"
	is "the longest key and value" "$(record 0 1 | wc -c)" 1276
	stop_daemon hv_kvp_daemon
	checkpoint ic_no_daemon
	start_daemon hv_kvp_daemon
	checkpoint ic_daemon_again
	is "the pair of the host after the daemon was started again" "$(record 0 2)" "Afterall"
}

check_many() { checkpoint ic_many; }

check_addresses() {
	load hv_netvsc
	wait_for /sys/class/net/eth0
	ip addr add 10.1.2.3/24 dev eth0
	ip link set eth0 up
	checkpoint ic_address
}

# ---- freezing ----------------------------------------------------------------

write_all_the_time() {
	n=0
	while [ -e /tmp/writing ]; do
		n=$((n + 1))
		dd if=/dev/urandom of="/tools/mnt/file$((n % 20))" bs=64k count=4 conv=fsync 2>/dev/null || return 1
		echo $n >/tmp/written
	done
}

check_freeze() {
	with_tools mkfs.ext4 -q "/dev/$disk"
	mkdir -p /tmp/empty
	mount -t ext4 "/dev/$disk" /tools/mnt
	touch /tmp/writing
	write_all_the_time &
	writer=$!
	# Not io_uring: before Linux 6.12 its writes and a freeze may wait for each other.
	start_busy_with /mnt/busy libaio
	wait_for /tmp/written
	checkpoint ic_freeze
	before=$(cat /tmp/written)
	wait_until "writing goes on" wrote_more "$before"
	is "writers go on" $? 0
	checkpoint ic_freeze_limit
	before=$(cat /tmp/written)
	wait_until "writing goes on after the limit" wrote_more "$before"
	is "the host thaws when the time is up" $? 0
	checkpoint ic_freeze_hold
	stop_daemon hv_vss_daemon
	checkpoint ic_thaw_fails
	start_daemon hv_vss_daemon
	before=$(cat /tmp/written)
	wait_until "writing goes on after the daemon died" wrote_more "$before"
	is "a new daemon is asked to thaw" $? 0
	rm /tmp/writing
	wait $writer
	is "no write failed" $? 0
	stop_busy "fio verify through all freezes"
	umount /tools/mnt
}

wrote_more() { [ "$(cat /tmp/written)" -gt $(($1 + 2)) ]; }

# ---- files -------------------------------------------------------------------

free_kib() { awk '/^MemFree/ { print $2 }' /proc/meminfo; }

check_files() {
	if [ ! -e /dev/vmbus/hv_fcopy ]; then
		before=$(free_kib)
		load uio_hv_generic
		wait_for /sys/bus/vmbus/devices/eb765408-105f-49b6-b4aa-c123b64d17d4/uio
		say uio_kib $((before - $(free_kib)))
	fi
	if [ -e /tools/bin/hv_fcopy_uio_daemon ]; then
		start_daemon hv_fcopy_uio_daemon
	elif [ -e /tools/bin/hv_fcopy_daemon ] && [ -e /dev/vmbus/hv_fcopy ]; then
		start_daemon hv_fcopy_daemon
	else
		say skipped "files: no daemon for this kernel"
		return
	fi
	checkpoint ic_copy
	is "files arrive as they were" "$(cd /tools/tmp/got && sha256sum * | sha256sum | cut -c1-16)" "$answer"
	is "and how many" "$(ls /tools/tmp/got | wc -l)" 6
}

# ---- the driver again --------------------------------------------------------

check_reload() {
	stop_daemon hv_kvp_daemon
	stop_daemon hv_vss_daemon
	for daemon in hv_fcopy_daemon hv_fcopy_uio_daemon; do
		daemon_is_gone $daemon || stop_daemon $daemon
	done
	rmmod hv_utils
	is "the driver goes" $? 0
	checkpoint ic_without_driver
	load hv_utils
	is "and comes again" $? 0
	checkpoint ic_with_driver
}

check_start() {
	is "versions" "$(versions | sed 's/FCopy=1.1 //')" "Heartbeat=3.0 KVP=4.0 Shutdown=3.2 TimeSync=4.0 VSS=5.0 "
	is "PTP clock" "$(cat /sys/class/ptp/ptp0/clock_name)" hyperv
	checkpoint ic_status
}

check_time() {
	wrong_clock "a clock a day ahead" 86400
	wrong_clock "a clock a day behind" -86400
	follow_host_clock
}

# What the services cost while nothing happens: with the driver, and without.
check_idle() {
	stop_daemon hv_kvp_daemon
	stop_daemon hv_vss_daemon
	checkpoint ic_idle with
	rmmod hv_utils
	checkpoint ic_idle without
	load hv_utils
	start_daemon hv_kvp_daemon
	start_daemon hv_vss_daemon
}

# For bench/idle. The modules are the same with and without the services, and so is what they are loaded after.
job_idle() {
	find_disks || return
	load hv_utils
	load hv_sock
	insmod /tools/lib/modules/hv_balloon.ko pressure_report_delay=0
	say up
	if [ "$services" = with ]; then
		load_services && start_daemon hv_kvp_daemon && start_daemon hv_vss_daemon
	fi
	checkpoint idle
	dmesg_findings
}

# parts: of these, with + between them.
job_ic() {
	find_disks && load_services || return
	start_daemon hv_kvp_daemon
	start_daemon hv_vss_daemon
	wait_until "the KVP daemon answers" said_by_driver "KVP IC version"
	for part in $(echo "$parts" | tr + ' '); do
		"check_$part"
	done
	dmesg_findings
}

# ---- the end -----------------------------------------------------------------

# The driver runs /sbin/poweroff or /sbin/reboot, busybox's, which send process 1 a signal.
job_ic_end() {
	trap 'say asked poweroff; poweroff -f' USR2
	trap 'say asked reboot; reboot -f' TERM
	load hv_storvsc
	find_disks && load_services || return
	checkpoint ic_end
	while true; do usleep 100000; done
}

# SPDX-License-Identifier: MIT
# Guest side: chrony of Debian follows the host's clock by the PTP device of hv_utils. The host moves its
# clock, pauses, and is asked for its time through a socket.

clock_port=7100
limit_us=10000

ptp_device() {
	for clock in /sys/class/ptp/*; do
		[ "$(cat "$clock/clock_name")" = hyperv ] && basename "$clock" && return
	done
}

ptp_reads() { with_tools clocks ptp "/dev/$ptp" 1 >/dev/null 2>&1; }

# What chronyd reads, and where it writes.
start_chrony() { # device
	mount -t tmpfs etc /tools/etc
	echo "root:x:0:0:root:/:/bin/sh" >/tools/etc/passwd
	mkdir -p /tools/run/chrony
	chmod 750 /tools/run/chrony
	cat >/tools/etc/chrony.conf <<-END
		refclock PHC /dev/$1 poll 0 dpoll -2 refid HOST
		makestep 0.01 -1
		user root
		cmdport 0
		bindcmdaddress /
		pidfile /run/chrony/pid
	END
	with_tools chronyd -d -f /etc/chrony.conf </dev/null >/tmp/chrony 2>&1 &
	chrony=$!
}

chrony_says() { grep -q "$1" /tmp/chrony; }

# Sets $offset and $round_trip: of this clock to the host's.
read_clocks() {
	# shellcheck disable=SC2046 # words
	set -- $(with_tools clocks host $clock_port 50)
	offset=${1:-none} round_trip=${2:-none}
}

clock_follows() {
	read_clocks
	[ "$offset" != none ] && [ "${offset#-}" -lt $limit_us ]
}

# In the end; the figures are for people.
follows() { # name
	wait_until "$1" clock_follows
	is "$1: less than 10 ms off" $? 0
	say clock "$1: $offset us off, round trip $round_trip us; PTP: $(with_tools clocks ptp "/dev/$ptp" 5)"
}

job_clock() {
	find_disks || return
	load hv_utils
	load hv_sock
	ptp=$(ptp_device)
	wait_until "the first sample" ptp_reads
	start_chrony "$ptp"
	wait_until "chrony selects the host" chrony_says "Selected source HOST"
	is "chrony selects the host" $? 0
	follows "in the beginning"
	date -s "@$(($(date +%s) - 3600))" >/dev/null
	follows "after the guest's clock was set wrong"
	checkpoint clock_small_step
	[ "$answer" = skipped ] || follows "after a step of the host's clock that is too small for a sync"
	checkpoint clock_day
	[ "$answer" = skipped ] || follows "after steps of the host's clock by a day"
	checkpoint clock_pause
	follows "after pauses"
	kill $chrony
	wait $chrony
	chrony_says "Fatal" && not_ok "chrony" "$(tail -n 3 /tmp/chrony)"
	say chrony_steps "$(grep -c "clock was stepped" /tmp/chrony)"
	dmesg_findings
}

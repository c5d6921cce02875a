# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034,SC2154,SC3045
# Guest side of the network bench. Sourced by tests/vm/guest/init; the host says which cell to run:
# "WINDOW" and what netload is to do, or "off". $host, $port and $me come from the host, too.

find_network() {
	for nic in /sys/class/net/*; do
		nic=${nic##*/}
		[ "$nic" = lo ] || return 0
	done
	return 1
}

carrier() { [ "$(cat "/sys/class/net/$nic/carrier" 2>/dev/null)" = 1 ]; }

# Sets $traffic: bytes and packets of both directions, and $busy. Only what the shell can do itself: no
# process starts while figures are taken.
count_traffic() {
	count_busy
	bytes=0 packets=0
	for counter in rx tx; do
		read -r value <"/sys/class/net/$nic/statistics/${counter}_bytes"
		bytes=$((bytes + value))
		read -r value <"/sys/class/net/$nic/statistics/${counter}_packets"
		packets=$((packets + value))
	done
	traffic="$bytes $packets $busy"
}

# More than it takes to say what load it is.
network_moves() {
	count_traffic
	[ $packets -gt $((idle_packets + 40)) ] || [ ! -d "/proc/$load" ]
}

# The host takes its counters at @begin and @end, which are inside the load.
network_cell() { # window load...
	window=$1
	shift
	count_traffic
	before=$traffic idle_packets=$packets
	netload "$host" "$port" "$@" >/tmp/load.out 2>/tmp/load.err &
	load=$!
	wait_until "the load" network_moves || return
	pause 0.25
	count_traffic
	begin=$traffic
	say begin
	pause "$window"
	count_traffic
	say end
	end=$traffic
	wait $load
	status=$?
	[ $status -eq 0 ] || say netload_error "$(head -n 1 /tmp/load.err)"
	count_traffic
	# shellcheck disable=SC2046 # words
	set -- $(cat /tmp/load.out)
	say cell "$status $2 $4 $6 $8 ${10} $before $begin $end $traffic"
}

job_network() {
	load_nic_driver
	wait_until "a NIC" find_network || return
	vps=$(nproc)
	say nic "$(readlink -f "/sys/class/net/$nic/device/driver")"
	say modules "$(loaded_modules)"
	ip link set lo up
	ip link set "$nic" up
	ip addr add "$me/24" dev "$nic"
	wait_until "carrier" carrier || return
	say clocksource "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
	while checkpoint next && [ "$answer" != off ]; do
		# shellcheck disable=SC2086 # words
		network_cell $answer
	done
	dmesg_findings
}

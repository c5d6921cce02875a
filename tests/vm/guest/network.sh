# SPDX-License-Identifier: MIT
# Guest side: NICs. $host and $host6 are addresses of the host, $me and $me6 ours.

nic_of() { # number; prints the name of the interface
	ls "/sys/bus/vmbus/devices/e417e002-5c51-4e17-9a02-656e6c69746$((5 + $1))/net" 2>/dev/null
}

has_nic() { [ -n "$(nic_of "$1")" ]; }

find_nic() { # number
	load_nic_driver
	wait_until "NIC $1 appears" has_nic "$1" || return 1
	nic=$(nic_of "$1")
}

carrier() { [ "$(cat "/sys/class/net/$nic/carrier" 2>/dev/null)" = 1 ]; }
no_carrier() { ! carrier; }

ping_sizes() { # what for, sizes...
	what=$1
	shift
	for size; do
		ping -c 1 -W 60 -s "$size" "$host" >/tmp/ping 2>&1 ||
			{ not_ok "$what: ping of $size bytes" "$(cat /tmp/ping)"; return 1; }
	done
	ok "$what"
}

# The last number of that name behind "sum_received"; iperf3 ends with status 0 also when it fails.
iperf_number() { # name in the report
	sed -n '/"sum_received"/,$p' /tmp/iperf |
		sed -n "s/.*\"$1\":[[:space:]]*\([0-9]*\).*/\1/p" | head -n 1
}

run_iperf() { # name, options...
	name=$1
	shift
	# shellcheck disable=SC2068
	with_tools iperf3 -c "$host" -t "${seconds:-3}" -J $@ >/tmp/iperf 2>&1 </dev/null
	speed=$(iperf_number bits_per_second)
	if [ "${speed:-0}" -gt 0 ]; then ok "iperf3 $name"; else not_ok "iperf3 $name" "$(tail -n 5 /tmp/iperf)"; fi
	say "iperf_$name" "${speed:-0}"
	say "retransmits_$name" "$(sed -n 's/.*"retransmits":[[:space:]]*\([0-9]*\).*/\1/p' /tmp/iperf | tail -n 1)"
}

traffic() {
	run_iperf up
	run_iperf down -R
	run_iperf both --bidir
	run_iperf streams -P 4
	run_iperf udp -u -b 50M
}

# ---- load that goes on while something happens -------------------------------

# Not through with_tools: the process that is signalled would be its shell.
start_load() { # what netload is to do
	chroot /tools netload "$host" 5202 "$@" >/tmp/load.out 2>/tmp/load.err </dev/null &
	load=$!
}

# Both ways, beyond what a probe or an acknowledgement would move.
more_bytes() {
	[ "$(cat "/sys/class/net/$nic/statistics/rx_bytes")" -gt $((rx_before + 200000)) ] &&
		[ "$(cat "/sys/class/net/$nic/statistics/tx_bytes")" -gt $((tx_before + 200000)) ]
}

traffic_goes_on() { # name of the check
	rx_before=$(cat "/sys/class/net/$nic/statistics/rx_bytes")
	tx_before=$(cat "/sys/class/net/$nic/statistics/tx_bytes")
	if wait_until "traffic $1" more_bytes; then ok "traffic $1"; else not_ok "traffic $1" "it stopped"; fi
}

end_load() { # name of the check
	kill -TERM $load 2>/dev/null
	wait $load
	status=$?
	if [ $status = 0 ] && grep -q '^up [1-9].* bad 0$' /tmp/load.out; then ok "$1"; else
		not_ok "$1" "status $status: $(cat /tmp/load.out /tmp/load.err)"
	fi
}

# A load of its own end.
run_load() { # name of the check, what netload is to do
	name=$1
	shift
	with_tools netload "$host" 5202 "$@" >/tmp/load.out 2>&1 </dev/null
	status=$?
	if [ $status = 0 ] && grep -q ' received [1-9].* bad 0$' /tmp/load.out; then ok "$name"; else
		not_ok "$name" "status $status: $(cat /tmp/load.out)"
	fi
	say "netload_$(echo "$name" | tr ' ' '_')" "$(cat /tmp/load.out)"
}

toggle_offloads() {
	start_load tcp both 2 600
	for feature in tx rx tso lro sg; do
		for value in off on; do
			with_tools ethtool -K "$nic" "$feature" "$value" >/tmp/ethtool 2>&1
			ping -c 1 -W 60 "$host" >/dev/null ||
				{ not_ok "ping with $feature $value" "$(cat /tmp/ethtool)"; break; }
		done
	done
	traffic_goes_on "with each offload off and on"
	end_load "load while offloads are off and on"
}

ethtool_works() {
	check "ethtool -i" "ethtool -i $nic" "driver: $(nic_driver)"
	check "ethtool -k" "ethtool -k $nic" 'tcp-segmentation-offload: on' 'large-receive-offload: on' \
		'tx-checksumming: on' 'rx-checksumming: on'
	check "ethtool -l" "ethtool -l $nic" "Combined:.*$channels"
	if our_drivers; then
		check "ethtool -S" "ethtool -S $nic" 'tx_stray: 0' 'tx_refused: 0' 'rx_invalid: 0' 'rx_no_memory: 0'
	else
		check "ethtool -S" "ethtool -S $nic" 'tx_no_memory: 0' 'rx_comp_busy: 0'
	fi
	check "ethtool -g" "ethtool -g $nic" 'RX:'
	check "ethtool -n" "ethtool -n $nic rx-flow-hash tcp4" 'L4 bytes'
	is "ethtool -c is not supported" "$(with_tools ethtool -c "$nic" 2>&1 | grep -c 'not supported')" 1
	[ "$channels" = 1 ] || check "ethtool -x" "ethtool -x $nic" "RX ring"
}

set_mtu() { # mtu
	start_load tcp both 1 600
	traffic_goes_on "before MTU $1"
	ip link set "$nic" mtu "$1" 2>/tmp/mtu || { not_ok "MTU $1" "$(cat /tmp/mtu)"; return; }
	is "MTU $1" "$(cat "/sys/class/net/$nic/mtu")" "$1"
	checkpoint mtu "$1"
	wait_until "carrier" carrier
	traffic_goes_on "after MTU $1"
	end_load "load while the MTU becomes $1"
	ping_sizes "ping with MTU $1" 0 $(($1 - 28))
}

get_lease() {
	cat >/tmp/leased <<-'END'
		#!/bin/sh
		[ "$1" = bound ] || exit 0
		ip addr add "$ip/${mask:-24}" dev "$interface"
		ip route add default via "$router"
		echo "$ip" >/tmp/address
		echo "$router" >/tmp/router
	END
	chmod +x /tmp/leased
	# shellcheck disable=SC2154 # set by the host's script
	udhcpc -i "$nic" -n -q -t 10 -T 2 -s /tmp/leased >/tmp/udhcpc 2>&1
}

job_tap() {
	find_disks && find_nic 0 || return
	is "MAC" "$(cat "/sys/class/net/$nic/address")" "$mac"
	ip link set lo up
	echo 0 >"/proc/sys/net/ipv6/conf/$nic/accept_dad"
	ip link set "$nic" up
	get_lease
	is "DHCP" "$(cat /tmp/address 2>/dev/null)" "$me"
	ip -6 addr add "$me6/64" dev "$nic"
	wait_until "carrier" carrier
	ping_sizes "ping" 0 1 56 500 1000 1471 1472 1473 4000 20000
	ping6 -c 1 -W 60 "$host6" >/tmp/ping 2>&1
	is "ping over IPv6" $? 0
	for size in 0 1000 1452 4000; do
		ping6 -c 1 -W 60 -s "$size" "$host6" >/tmp/ping 2>&1 || not_ok "ping over IPv6, $size bytes" "$(cat /tmp/ping)"
	done
	host=$host6 run_load "tcp over IPv6" tcp both 1 1
	run_load "udp up, contents checked" check up "${datagrams:-2000}" 0
	run_load "udp down, contents checked" check down "${datagrams:-2000}" 0
	ethtool_works
	traffic
	checkpoint counters
	toggle_offloads
	run_iperf after_toggles -R
	set_mtu 9000
	seconds=2 run_iperf jumbo
	set_mtu 1500
	ip link set "$nic" down
	ip link set "$nic" up
	wait_until "carrier" carrier
	ping_sizes "ping after down and up" 56
	seconds=1 run_iperf last
	dmesg_findings
}

# Sets $host to the router, which is the host with passt.
lease_nic() {
	ip link set lo up
	ip link set "$nic" up
	wait_until "carrier" carrier
	get_lease
	is "DHCP" "$(cat /tmp/address 2>/dev/null)" "$me"
	host=$(cat /tmp/router)
}

# A part of `make demo`.
demo_network() {
	find_nic 0 && lease_nic || return
	seconds=1
	run_iperf up
	run_iperf down -R
}

job_user() {
	find_disks && find_nic 0 && lease_nic || return
	run_iperf up
	run_iperf down -R
	checkpoint kill_passt
	wait_until "the link goes down" no_carrier
	wait_until "the link comes up" carrier
	seconds=1 run_iperf after_passt_died
	dmesg_findings
}

# SPDX-License-Identifier: MIT
# Guest side: NICs. $host and $host6 are addresses of the host, $me and $me6 ours.

nic_of() { # number; prints the name of the interface
	ls "/sys/bus/vmbus/devices/e417e002-5c51-4e17-9a02-656e6c69746$((5 + $1))/net" 2>/dev/null
}

has_nic() { [ -n "$(nic_of "$1")" ]; }

find_nic() { # number
	load hv_netvsc
	wait_until "NIC $1 appears" has_nic "$1" || return 1
	nic=$(nic_of "$1")
}

carrier() { [ "$(cat "/sys/class/net/$nic/carrier" 2>/dev/null)" = 1 ]; }
no_carrier() { ! carrier; }

ping_sizes() { # what for, sizes...
	what=$1
	shift
	for size; do
		ping -c 1 -W 5 -s "$size" "$host" >/tmp/ping 2>&1 ||
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

toggle_offloads() {
	for feature in tx rx tso lro sg; do
		for value in off on; do
			with_tools ethtool -K "$nic" "$feature" "$value" >/tmp/ethtool 2>&1
			ping -c 1 -W 5 "$host" >/dev/null ||
				{ not_ok "ping with $feature $value" "$(cat /tmp/ethtool)"; return; }
		done
	done
	ok "ping with each offload off and on"
}

ethtool_works() {
	check "ethtool -i" "ethtool -i $nic" 'driver: hv_netvsc'
	check "ethtool -k" "ethtool -k $nic" 'tcp-segmentation-offload: on' 'large-receive-offload: on' \
		'tx-checksumming: on' 'rx-checksumming: on'
	check "ethtool -l" "ethtool -l $nic" "Combined:.*$channels"
	check "ethtool -S" "ethtool -S $nic" 'tx_no_memory: 0' 'rx_comp_busy: 0'
	check "ethtool -g" "ethtool -g $nic" 'RX:'
	[ "$channels" = 1 ] || check "ethtool -x" "ethtool -x $nic" "RX ring"
}

set_mtu() { # mtu
	ip link set "$nic" mtu "$1" 2>/tmp/mtu || { not_ok "MTU $1" "$(cat /tmp/mtu)"; return; }
	is "MTU $1" "$(cat "/sys/class/net/$nic/mtu")" "$1"
	checkpoint mtu "$1"
	wait_until "carrier" carrier
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
	ping6 -c 1 -W 5 "$host6" >/tmp/ping 2>&1
	is "ping over IPv6" $? 0
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

job_user() {
	find_disks && find_nic 0 || return
	ip link set lo up
	ip link set "$nic" up
	wait_until "carrier" carrier
	get_lease
	is "DHCP" "$(cat /tmp/address 2>/dev/null)" "$me"
	host=$(cat /tmp/router)
	run_iperf up
	run_iperf down -R
	dmesg_findings
}

# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# NICs: a TAP interface and the host's network through passt, in a network of their own.

# A network namespace that lives as long as $namespace.
begin_network() {
	dhcp=
	unshare -n sleep infinity &
	namespace=$!
	until [ "$(readlink "/proc/$namespace/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do
		sleep 0.05
	done
	in_network ip link set lo up
	in_network iperf3 -s >"$work/iperf3.log" 2>&1 &
	servers=$!
	in_network build/netload server 5202 >"$work/netload.log" 2>&1 &
	servers+=" $!"
	host_enlite=$ENLITE
	ENLITE="nsenter -t $namespace -n $ENLITE"
}

end_network() {
	# shellcheck disable=SC2086 # of the DHCP server there may be none
	kill -KILL $servers $dhcp "$namespace"
	# shellcheck disable=SC2086
	wait $servers $dhcp "$namespace" 2>/dev/null
	ENLITE=$host_enlite
}

# passt copies the addresses of the interface with the default route.
add_uplink() { # address, router
	in_network ip tuntap add up0 mode tap
	in_network ip addr add "$1/24" dev up0
	in_network ip link set up0 up
	in_network ip route add default via "$2"
}

# Says why not, for a skip.
why_no_passt() {
	[ "$(id -u)" = 0 ] || { echo "making network namespaces needs root"; return; }
	unshare -U true 2>/dev/null || echo "passt needs user namespaces, which this kernel refuses"
}

add_tap() { # name, IPv4 address, IPv6 address
	in_network ip tuntap add "$1" mode tap multi_queue vnet_hdr
	in_network ip addr add "$2/24" dev "$1"
	in_network ip addr add "$3/64" dev "$1" nodad
	in_network ip link set "$1" up
}

# False, and the test is skipped: not root.
can_have_network() {
	[ "$(id -u)" != 0 ] || return 0
	echo "ok - $test_name # SKIP making network namespaces needs root"
	return 1
}

start_dhcp() { # interface, address for the guest
	printf '%s\n' "start $2" "end $2" "interface $1" "max_leases 1" "lease_file $work/leases" \
		"option subnet 255.255.255.0" "option router 192.168.77.1" >"$work/udhcpd.conf"
	: >"$work/leases"
	in_network busybox udhcpd -f "$work/udhcpd.conf" >"$work/udhcpd.log" 2>&1 &
	dhcp=$!
}

in_network() { nsenter -t "$namespace" -n "$@"; }

checkpoint_counters() {
	ctl inspect --json >"$work/nic.json" 2>&1
	echo go
}

# Both sides of a cable have the same MTU.
checkpoint_mtu() {
	in_network ip link set net0 mtu "$1"
	echo go
}

report_speeds() { # what for
	sed -n "s/^@\(iperf\|retransmits\)_\([a-z_]*\) \([0-9]*\)$/# $1: \2: \1 \3/p" "$console"
}

test_tap() { # flavour cpus
	begin "vm/$1, $2 VP: tap"
	can_have_network || return
	new_disk "$work/disk.img" 128M
	begin_network
	add_tap net0 192.168.77.1 fd77::1
	start_dhcp net0 192.168.77.2
	guest_timeout=300
	guest_set="host=192.168.77.1,me=192.168.77.2,host6=fd77::1,me6=fd77::2,channels=$2,mac=52:54:00:77:00:02"
	boot_guest "$1" "$2" tap --net "tap:net0,mac=52:54:00:77:00:02"
	end_network
	report_speeds "$1, $2 VP"
	expect_good_end tap
	finish
}

# The process that carries the frames dies; another one takes over.
checkpoint_kill_passt() {
	pkill -KILL -P "$(pgrep -d, -f "enlite run --name vm ")" passt >&2
	echo go
}

test_user() { # flavour cpus
	begin "vm/$1, $2 VP: user"
	if [ -n "$(why_no_passt)" ]; then
		echo "ok - $test_name # SKIP $(why_no_passt)"
		return
	fi
	new_disk "$work/disk.img" 128M
	begin_network
	add_uplink 10.77.0.2 10.77.0.1
	guest_set="me=10.77.0.2"
	boot_guest "$1" "$2" user --net user
	end_network
	report_speeds "$1, $2 VP"
	expect_good_end user
	finish
}

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
	server=$!
	host_enlite=$ENLITE
	ENLITE="nsenter -t $namespace -n $ENLITE"
}

end_network() {
	# shellcheck disable=SC2086 # of the DHCP server there may be none
	kill "$server" "$namespace" $dhcp
	# shellcheck disable=SC2086
	wait "$server" "$namespace" $dhcp 2>/dev/null
	ENLITE=$host_enlite
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
	if [ "$(id -u)" != 0 ]; then
		echo "ok - $test_name # SKIP making network namespaces needs root"
		return
	fi
	new_disk "$work/disk.img" 128M
	begin_network
	in_network ip tuntap add net0 mode tap multi_queue vnet_hdr
	in_network ip addr add 192.168.77.1/24 dev net0
	in_network ip addr add fd77::1/64 dev net0 nodad
	in_network ip link set net0 up
	start_dhcp net0 192.168.77.2
	guest_timeout=300
	guest_set="host=192.168.77.1,me=192.168.77.2,host6=fd77::1,me6=fd77::2,channels=$2,mac=52:54:00:77:00:02"
	boot_guest "$1" "$2" tap --net "tap:net0,mac=52:54:00:77:00:02"
	end_network
	report_speeds "$1, $2 VP"
	expect_good_end tap
	finish
}

test_user() { # flavour cpus
	begin "vm/$1, $2 VP: user"
	if [ "$(id -u)" != 0 ]; then
		echo "ok - $test_name # SKIP making network namespaces needs root"
		return
	fi
	if ! unshare -U true 2>/dev/null; then
		echo "ok - $test_name # SKIP passt needs user namespaces, which this kernel refuses"
		return
	fi
	new_disk "$work/disk.img" 128M
	begin_network
	# passt copies the addresses of the interface with the default route.
	in_network ip tuntap add up0 mode tap
	in_network ip addr add 10.77.0.2/24 dev up0
	in_network ip link set up0 up
	in_network ip route add default via 10.77.0.1
	guest_set="me=10.77.0.2"
	boot_guest "$1" "$2" user --net user
	end_network
	report_speeds "$1, $2 VP"
	expect_good_end user
	finish
}

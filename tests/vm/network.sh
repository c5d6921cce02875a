# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# NICs: a TAP interface and the host's network through passt, in a network of their own.

# A network namespace that lives as long as $namespace.
begin_network() {
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
	kill "$server" "$namespace"
	wait "$server" "$namespace" 2>/dev/null
	ENLITE=$host_enlite
}

in_network() { nsenter -t "$namespace" -n "$@"; }

checkpoint_counters() {
	ctl inspect | jq -c '.inspect.devices[] | select(.id == "nic0")' >"$work/nic.json" 2>&1
	echo go
}

# Both sides of a cable have the same MTU.
checkpoint_mtu() {
	in_network ip link set net0 mtu "$1"
	echo go
}

report_speeds() { # what for
	sed -n "s/^@iperf_\([a-z_]*\) \([0-9]*\)$/# $1: iperf3 \1: \2 bit\/s/p" "$console"
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

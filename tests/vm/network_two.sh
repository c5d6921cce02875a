# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Two of something: two guests on one bridge or connected by `pair`, two NICs, tagged and untagged
# frames, two records of the same frames.

# The other guest waits until the first one is done.
checkpoint_peer_up() { : >"$work/peer_up"; }

checkpoint_peer_end() {
	until [ -e "$work/peer_over" ]; do sleep 0.2; done
}

checkpoint_wait_peer() {
	until [ -e "$work/peer_up" ] || [ -e "$work/peer_status" ]; do sleep 0.2; done
}

# In the background; its console is that of the job `net_peer`.
boot_peer() { # flavour cpus net
	(
		guest_name=peer guest_set="me=192.168.77.3,me6=fd77::3"
		new_disk "$work/peer.img" 16M
		disk=$work/peer.img
		boot_guest "$1" "$2" net_peer --net "$3"
		echo "$status" >"$work/peer_status"
	) 7<&- 8>&- &
	peer_guest=$!
}

test_two_guests() { # flavour cpus pair|bridge
	local mine=pair:$work/pair theirs=pair:$work/pair
	begin "vm/$1, $2 VP: two guests by $3"
	can_have_network || return
	new_disk "$work/disk.img" 128M
	rm -f "$work"/peer_*
	begin_network
	if [ "$3" = bridge ]; then
		mine=tap:net0 theirs=tap:net1
		in_network ip link add br0 type bridge
		in_network ip link set br0 up
		add_tap net0 192.168.77.10 fd77::10
		add_tap net1 192.168.77.11 fd77::11
		in_network ip link set net0 master br0
		in_network ip link set net1 master br0
	fi
	guest_timeout=$(by_length 500 4000) # it outlives the other
	boot_peer "$1" "$2" "$theirs,mac=52:54:00:77:00:03"
	guest_timeout=$(by_length 400 3600)
	guest_set="host=192.168.77.3,me=192.168.77.2,host6=fd77::3,me6=fd77::2,datagrams=$(by_length 10000 1000000)"
	boot_guest "$1" "$2" two_guests --net "$mine,mac=52:54:00:77:00:02"
	: >"$work/peer_over"
	wait "$peer_guest"
	end_network
	expect "exit status of the other guest" "$(cat "$work/peer_status")" 0
	expect_good_end two_guests
	sed -n "s/^@netload_\([a-z_,]*\) \(.*\)/# $1, $2 VP, $3: \1: \2/p" "$console"
	finish
}

# Prints the echo requests of a record: size and sequence number of each, and where from and to.
echoes_in() { # file
	tcpdump -n -r "$1" icmp 2>/dev/null | grep 'echo request' | sed 's/^.* IP /IP /'
}

checkpoint_record() {
	in_network tcpdump -Z root -n -i net0 -U -w "$work/tcpdump.pcap" icmp >"$work/tcpdump.log" 2>&1 &
	echo $! >"$work/tcpdump.pid"
	until grep -q 'listening on' "$work/tcpdump.log"; do sleep 0.1; done
}

checkpoint_record_end() {
	sleep 1 # both write what they have
	kill "$(cat "$work/tcpdump.pid")"
}

test_nics() { # flavour cpus
	begin "vm/$1, $2 VP: two NICs, a VLAN, a record"
	can_have_network || return
	new_disk "$work/disk.img" 128M
	begin_two_taps
	in_network ip link add link net0 name net0.7 type vlan id 7
	in_network ip addr add 192.168.79.1/24 dev net0.7
	in_network ip link set net0.7 up
	guest_set="host=192.168.77.1,me=192.168.77.2,host6=fd77::1,me6=fd77::2"
	boot_guest "$1" "$2" nics --net "tap:net0,pcap=$work/nic.pcapng" --net tap:net1
	end_network
	expect_good_end nics
	expect_true "20 pings are recorded" test "$(echoes_in "$work/nic.pcapng" | wc -l)" -ge 20
	echoes_in "$work/nic.pcapng" | grep -F -x -f <(echoes_in "$work/tcpdump.pcap") >"$work/common"
	expect "what both have recorded" "$(cat "$work/common")" "$(echoes_in "$work/tcpdump.pcap")"
	finish
}

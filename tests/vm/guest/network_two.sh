# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034,SC2154
# Guest side: two guests; two NICs, a VLAN, a record of the frames.

# Serves the other guest.
job_net_peer() {
	find_disks && find_nic 0 && bring_up "$me" "$me6" || return
	chroot /tools netload server 5202 >/tmp/server 2>&1 </dev/null &
	server=$!
	checkpoint peer_up
	checkpoint peer_end
	kill -KILL $server
	is "the server's errors" "$(cat /tmp/server)" ""
	dmesg_findings
}

job_two_guests() {
	find_disks && find_nic 0 && bring_up "$me" "$me6" || return
	checkpoint wait_peer
	ping_sizes "ping" 0 56 1472 4000
	run_load "tcp up" tcp up 1 2
	run_load "tcp down" tcp down 4 2
	run_load "tcp both" tcp both 1 2
	run_load "round trips" rr 1 2
	host=$host6 run_load "tcp over IPv6" tcp both 1 2
	run_load "udp up, contents checked" check up "$datagrams" 0
	run_load "udp down, contents checked" check down "$datagrams" 0
	dmesg_findings
}

second_nic() {
	find_nic 1 && bring_up 192.168.78.2 fd78::2 || return
	host=192.168.78.1
	ping_sizes "ping by the second NIC" 0 1472
	run_load "tcp by the second NIC" tcp both 1 1
}

tagged() {
	load 8021q
	ip link add link "$nic" name "$nic.7" type vlan id 7 || { not_ok "VLAN" "no interface"; return; }
	ip link set "$nic.7" up
	ip addr add 192.168.79.2/24 dev "$nic.7"
	host=192.168.79.1
	ping_sizes "ping in a VLAN" 0 1472 4000
	run_load "tcp in a VLAN" tcp both 1 1
}

recorded() {
	host=192.168.77.1
	checkpoint record
	i=0
	while [ $i -lt 20 ]; do
		ping -c 1 -W 5 -s $((i * 77)) "$host" >/dev/null || not_ok "ping $i" "no answer"
		i=$((i + 1))
	done
	checkpoint record_end
}

job_nics() {
	find_disks && find_nic 0 && bring_up "$me" "$me6" || return
	second_nic
	find_nic 0
	tagged
	recorded
	dmesg_findings
}

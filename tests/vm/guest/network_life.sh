# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034,SC2154
# Guest side: what happens to a NIC while traffic flows.

bring_up() { # IPv4 address, IPv6 address
	ip link set lo up
	echo 0 >"/proc/sys/net/ipv6/conf/$nic/accept_dad"
	ip link set "$nic" up
	ip addr add "$1/24" dev "$nic"
	ip -6 addr add "$2/64" dev "$nic"
	wait_until "carrier" carrier
}

link_under_load() {
	start_load tcp both 2 600
	traffic_goes_on "before the link goes down"
	checkpoint link down
	wait_until "the link goes down" no_carrier
	checkpoint link up
	wait_until "the link comes up" carrier
	traffic_goes_on "after the link came up"
	end_load "load while the link goes down and up"
}

pauses_under_load() {
	start_load tcp both 2 600
	traffic_goes_on "before the pauses"
	checkpoint net_pauses "$pauses"
	is "$pauses pauses" "$answer" ""
	traffic_goes_on "after the pauses"
	end_load "load while the VM is paused $pauses times"
}

new_tap() {
	checkpoint new_tap
	wait_until "the link comes up" carrier
	ping_sizes "ping by the new TAP interface" 0 56 1472 8000
}

no_nic() { ! has_nic "$1"; }

# It goes while it is used.
reload_netvsc() {
	start_load tcp both 2 600
	traffic_goes_on "before a reload" >/dev/null
	rmmod "$(nic_driver)" || return
	wait_until "the NIC goes" no_nic 0 || return
	kill -KILL $load 2>/dev/null
	wait $load
	find_nic 0 && bring_up "$me" "$me6" && ping -c 1 -W 60 "$host" >/dev/null
}

reload_driver() {
	i=0
	while [ $i -lt "$reloads" ] && reload_netvsc; do i=$((i + 1)); done
	say reloads $i
}

# The NIC that comes and goes is the second one.
hot_cycle() {
	checkpoint nic_add
	id=$answer
	find_nic 1 && bring_up 192.168.78.2 fd78::2 || return
	host=192.168.78.1
	ping -c 1 -W 60 "$host" >/dev/null || { say fail "ping by the added NIC"; return 1; }
	start_load tcp both 2 600
	traffic_goes_on "by the added NIC" >/dev/null
	checkpoint nic_remove "$id"
	[ "$answer" = removed ] || { say fail "nic remove $id: '$answer'"; return 1; }
	wait_until "the NIC goes" no_nic 1
	status=$?
	kill -KILL $load 2>/dev/null
	wait $load
	return $status
}

hotplug_nic() {
	i=0
	while [ $i -lt "$cycles" ] && hot_cycle; do i=$((i + 1)); done
	say cycles $i
	host=192.168.77.1
	find_nic 0
	ping_sizes "ping by the NIC that stayed" 56
}

job_net_life() {
	find_disks && find_nic 0 && bring_up "$me" "$me6" || return
	ping_sizes "ping" 0 56
	link_under_load
	pauses_under_load
	new_tap
	reload_driver
	hotplug_nic
	dmesg_findings
}

job_net_kexec() {
	find_disks && find_nic 0 && bring_up "$me" "$me6" || return
	ping_sizes "ping" 0 56 1472
	if grep -q enlite.kexeced /proc/cmdline; then
		run_load "tcp after kexec" tcp both 2 1
		dmesg_findings
		return
	fi
	with_tools kexec -c -l /boot/vmlinuz --initrd=/boot/initrd \
		--command-line="$(cat /proc/cmdline) enlite.kexeced"
	say kexec_load $?
	start_load tcp both 4 600
	traffic_goes_on "before kexec"
	umount /tools/dev /tools/proc /tools/sys 2>/dev/null
	with_tools kexec -e
}

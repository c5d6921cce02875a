# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034,SC2154
# Guest side: what only our own netvsc has, and what ethtool changes under load.

nic_counter() { # name; the sum over all channels
	with_tools ethtool -S "$nic" | sed -n "s/^ *$1: //p"
}

# Nothing came that was not asked for, and nothing was refused.
nic_accounts() { # what for
	is "$1: stray, refused, invalid" "$(nic_counter tx_stray) $(nic_counter tx_refused) $(nic_counter rx_invalid)" "0 0 0"
}

settle_nic() { # name of the check
	wait_until "carrier" carrier
	traffic_goes_on "$1"
}

change_nic() { # name of the check, ethtool options...
	name=$1
	shift
	with_tools ethtool "$@" >/tmp/ethtool 2>&1 || { not_ok "$name" "$(cat /tmp/ethtool)"; return; }
	settle_nic "$name"
}

# The user's table stays over a new connection, as long as its channels do.
rss_table() {
	[ "$channels" -gt 1 ] || return
	change_nic "all frames to channel 1" -X "$nic" start 1 equal 1
	ip link set "$nic" mtu 2000
	checkpoint mtu 2000
	settle_nic "another MTU"
	is "the table after another MTU" "$(with_tools ethtool -x "$nic" | sed -n 's/^ *0: *\([0-9]*\).*/\1/p')" 1
	ip link set "$nic" mtu 1500
	checkpoint mtu 1500
	change_nic "the default table" -X "$nic" default
	change_nic "one channel" -L "$nic" combined 1
	is "channels" "$(ls -d "/sys/class/net/$nic/queues"/rx-* | wc -l)" 1
	change_nic "all channels" -L "$nic" combined "$channels"
	change_nic "UDP by addresses" -N "$nic" rx-flow-hash udp4 sd
	check "ethtool -n" "ethtool -n $nic rx-flow-hash udp4" 'IP SA'
}

changes_under_load() {
	start_load tcp both 2 600
	traffic_goes_on "before changes"
	change_nic "smaller buffers" -G "$nic" rx 1000 tx 100
	rss_table
	end_load "load while ethtool changes the NIC"
}

# ---- XDP ---------------------------------------------------------------------

xdp_begin() { # verdict
	rm -f /tmp/xdp.in
	mkfifo /tmp/xdp.in
	chroot /tools xdp "$nic" "$1" </tmp/xdp.in >/tmp/xdp.out 2>&1 &
	xdp=$!
	exec 6>/tmp/xdp.in
	wait_until "XDP $1" grep -q ready /tmp/xdp.out || not_ok "XDP $1" "$(cat /tmp/xdp.out)"
}

xdp_end() {
	exec 6>&-
	wait $xdp
}

xdp_moves() { # verdict, counters that rise...
	verdict=$1
	shift
	xdp_begin "$verdict"
	ping -c 3 -W 1 "$host" >/tmp/ping 2>&1
	answered=$?
	for counter; do
		[ "$(nic_counter "$counter")" -gt 0 ] || not_ok "XDP $verdict" "$counter is 0"
	done
	xdp_end
	if [ "$verdict" = pass ]; then wanted=0; else wanted=1; fi
	is "XDP $verdict: status of ping" $answered $wanted
}

xdp_programs() {
	xdp_moves pass xdp_pass
	is "RSC while XDP runs, and after" "$(with_tools ethtool -k "$nic" | sed -n 's/^large-receive-offload: //p')" on
	xdp_moves drop xdp_drop
	xdp_moves tx xdp_tx
	xdp_moves redirect xdp_redirect xdp_xmit
	ping_sizes "ping after XDP" 0 1472
	start_load tcp both 2 600
	xdp_begin pass
	traffic_goes_on "with XDP"
	xdp_end
	traffic_goes_on "after XDP"
	end_load "load while XDP comes and goes"
}

# ---- the end at any time -----------------------------------------------------

nic_device() { basename "$(readlink -f "/sys/class/net/$nic/device")"; }

rebind_nic() {
	device=$(nic_device)
	start_load tcp both 2 600
	traffic_goes_on "before unbind" >/dev/null
	echo "$device" >/sys/bus/vmbus/drivers/netvsc/unbind || return
	kill -KILL $load 2>/dev/null
	wait $load
	echo "$device" >/sys/bus/vmbus/drivers/netvsc/bind || return
	wait_until "the NIC comes" has_nic 0 && bring_up "$me" "$me6" && ping -c 1 -W 60 "$host" >/dev/null
}

rebind_nics() {
	i=0
	while [ $i -lt "$cycles" ] && rebind_nic; do i=$((i + 1)); done
	is "unbind and bind under load" $i "$cycles"
}

job_ours_nic() {
	find_disks && find_nic 0 && bring_up "$me" "$me6" || return
	ping_sizes "ping" 0 56 1472 4000 20000
	for way in up down both; do
		run_load "tcp $way" tcp $way 2 1
	done
	nic_accounts "load"
	changes_under_load
	xdp_programs
	nic_accounts "changes"
	with_tools ethtool -S "$nic" | grep -v 'chan\|: 0$' | while read -r line; do say counter "$line"; done
	rebind_nics
	reload_driver
	is "rmmod and insmod under load" "$i" "$reloads"
	dmesg_findings
}

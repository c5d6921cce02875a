# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What happens to a NIC while traffic flows: its link goes down, it is removed and added, its driver is
# reloaded, its TAP interface disappears, the VM is paused, the guest starts another kernel.

checkpoint_link() { # up|down
	ctl nic link nic0 "$1" >&2
}

checkpoint_net_pauses() { # how many
	local i
	for ((i = 0; i < $1; i++)); do
		ctl pause >/dev/null && usleep_ms "$(random_ms 100)" && ctl resume >/dev/null || echo "pause $i failed"
		usleep_ms "$(random_ms 200)"
	done
}

# The name is the same; everything else is new.
checkpoint_new_tap() {
	in_network ip link del net0
	add_tap net0 192.168.77.1 fd77::1
}

# Prints its ID.
checkpoint_nic_add() {
	ctl nic add tap:net1,mac=52:54:00:77:00:12 --json | jq -r .id
}

checkpoint_nic_remove() { # ID
	ctl nic remove "$1" >&2 && echo removed
}

begin_two_taps() {
	begin_network
	add_tap net0 192.168.77.1 fd77::1
	add_tap net1 192.168.78.1 fd78::1
}

test_net_life() { # flavour cpus
	begin "vm/$1, $2 VP: life of a NIC"
	can_have_network || return
	new_disk "$work/disk.img" 128M
	begin_two_taps
	guest_timeout=$(by_length 400 3600)
	guest_set="host=192.168.77.1,me=192.168.77.2,host6=fd77::1,me6=fd77::2"
	guest_set+=",pauses=$(by_length 5 50),reloads=$(by_length 2 50),cycles=$(by_length 2 100)"
	boot_guest "$1" "$2" net_life --net tap:net0
	end_network
	expect_good_end net_life
	expect "reloads" "$(said reloads)" "$(by_length 2 50)"
	expect "cycles" "$(said cycles)" "$(by_length 2 100)"
	finish
}

test_net_kexec() { # flavour cpus
	begin "vm/$1, $2 VP: kexec with traffic"
	can_have_network || return
	new_disk "$work/disk.img" 128M
	begin_network
	add_tap net0 192.168.77.1 fd77::1
	guest_set="host=192.168.77.1,me=192.168.77.2,host6=fd77::1,me6=fd77::2"
	boot_guest "$1" "$2" net_kexec --net tap:net0
	end_network
	expect "kexec load" "$(said kexec_load)" 0
	expect "traffic before it" "$(grep -c '^@ok traffic before kexec' "$console")" 1
	expect_good_end net_kexec
	finish
}

# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What only our own modules have: poll queues, statistics, XDP, changes of a NIC under load, an end and
# a start at any time, recovery from a host that does not answer. The other tests run with them by VM_DRIVERS=ours.

test_ours() { # flavour cpus
	local cycles
	cycles=$(by_length 2 30)
	begin "vm/$1, $2 VP: our storvsc${VM_BUS:+ on our bus}"
	local VM_DRIVERS=ours
	new_disk "$work/disk.img" 128M
	new_disk "$work/second.img" 32M
	guest_set="cycles=$cycles,mib=$(by_length 2 16)"
	guest_timeout=$(by_length 600 2400)
	boot_guest "$1" "$2" ours --disk "$work/second.img,controller=1"
	expect_good_end ours
	expect "driver" "$(said driver)" storvsc
	expect "channels of two controllers" "$(said channels)" $((2 * $2))
	finish
}

# Both drivers of SCSI controllers are loaded.
test_both_drivers() { # flavour cpus
	local VM_DRIVERS=ours
	begin "vm/$1, $2 VP: our storvsc beside the kernel's"
	new_disk "$work/disk.img" 128M
	guest_timeout=600
	boot_guest "$1" "$2" both_drivers
	expect "exit status" "$status" 0
	expect "last words" "$(said done)" both_drivers
	expect "failures" "$(said fail)" ""
	finish
}

test_ours_nic() { # flavour cpus
	begin "vm/$1, $2 VP: our netvsc"
	can_have_network || return
	local VM_DRIVERS=ours
	new_disk "$work/disk.img" 128M
	begin_network
	add_tap net0 192.168.77.1 fd77::1
	guest_timeout=$(by_length 600 2400)
	guest_set="host=192.168.77.1,me=192.168.77.2,host6=fd77::1,me6=fd77::2,channels=$2"
	guest_set+=",cycles=$(by_length 2 30),reloads=$(by_length 2 30)"
	boot_guest "$1" "$2" ours_nic --net tap:net0
	end_network
	expect_good_end ours_nic
	sed -n "s/^@counter /# $1, $2 VP: /p" "$console"
	finish
}

# The file system of controller 1's disk takes no writes: no reset helps, since what a host kernel has
# taken cannot be cancelled.
checkpoint_writes_stop() { fsfreeze --freeze "$work/fs"; }
checkpoint_writes_go_on() { fsfreeze --unfreeze "$work/fs"; }

test_recovery() { # flavour cpus
	begin "vm/$1, $2 VP: our storvsc: the host does not answer"
	local VM_DRIVERS=ours
	new_disk "$work/disk.img" 128M
	mount_file_system || failures="no file system"
	new_disk "$work/fs/frozen.img" 32M
	guest_timeout=900
	boot_guest "$1" "$2" recovery --disk "memory:64M,delay=600s:write" --disk "$work/fs/frozen.img,controller=1"
	fsfreeze --unfreeze "$work/fs" 2>/dev/null
	unprepare
	expect "exit status" "$status" 0
	expect "last words" "$(said done)" recovery
	expect "failures" "$(said fail)" ""
	finish
}

# L1 is a machine without Hyper-V, with a kernel that we have modules for.
test_no_hyperv() { # flavour of L1's kernel
	local module why
	begin "vm/$1: our modules where there is no Hyper-V"
	if [ "${BED_PLACE:-}" != nested ]; then
		echo "ok - $test_name # SKIP not with the kernel of this machine"
		return
	fi
	dmesg --clear
	for module in vsc winhv; do
		why=$(insmod "build/guest/$1/$module.ko" 2>&1)
		expect "insmod's status" $? 1
		expect_match "insmod" "$why" "No such device"
		expect "the kernel's lines" "$(dmesg | grep -c "\<$module: this machine is not a Hyper-V guest")" 1
	done
	failures=$failures console=/dev/null errors=/dev/null
	finish
}

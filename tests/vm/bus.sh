# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Our own bus, winhv.ko and vmbus_vsc.ko. The other tests run on it by VM_DRIVERS=ours VM_BUS=ours.

test_bus() { # flavour cpus
	local cycles VM_DRIVERS=ours VM_BUS=ours
	cycles=$(by_length 3 100)
	begin "vm/$1, $2 VP: our bus: CPUs, reloads, and hv_vmbus"
	new_disk "$work/disk.img" 128M
	guest_set="cycles=$cycles"
	guest_timeout=$(by_length 900 7200)
	boot_guest "$1" "$2" bus
	expect_good_end bus
	expect "driver" "$(said driver)" storvsc
	expect "VMBus" "$(said vmbus)" "Vmbus version:5.3"
	expect "channels" "$(said channels)" "$2"
	finish
}

checkpoint_add_controller() {
	new_disk "$work/second.img" 32M
	ctl disk add "$work/second.img,controller=1" >&2
}

checkpoint_remove_controller() { ctl controller remove 1 >&2; }

test_bus_hotplug() { # flavour cpus
	local cycles VM_DRIVERS=ours VM_BUS=ours
	cycles=$(by_length 5 100)
	begin "vm/$1, $2 VP: our bus: a controller comes and goes $cycles times"
	new_disk "$work/disk.img" 128M
	guest_set="cycles=$cycles"
	guest_timeout=$(by_length 600 3600)
	boot_guest "$1" "$2" bus_hotplug
	expect "exit status" "$status" 0
	expect "last words" "$(said done)" bus_hotplug
	expect "failures" "$(said fail)" ""
	finish
}

test_bus_versions() { # flavour cpus
	local VM_DRIVERS=ours VM_BUS=ours
	begin "vm/$1, $2 VP: our bus: every version of VMBus"
	new_disk "$work/disk.img" 128M
	guest_timeout=900
	boot_guest "$1" "$2" bus_versions
	expect "exit status" "$status" 0
	expect "last words" "$(said done)" bus_versions
	expect "failures" "$(said fail)" ""
	finish
}

test_bus_kdump() { # flavour cpus
	local VM_DRIVERS=ours VM_BUS=ours BOOT_ARGS=$BOOT_ARGS
	begin "vm/$1, $2 VP: our bus: kdump writes to our disk"
	new_disk "$work/disk.img" 128M
	BOOT_ARGS="$BOOT_ARGS crashkernel=256M"
	guest_memory=1G
	guest_set="crash_cpu=$(($2 - 1))"
	guest_timeout=900
	boot_guest "$1" "$2" bus_kdump --on-crash continue
	expect "exit status" "$status" 0
	expect "kexec load" "$(said kexec_load)" 0
	expect_match "kernel of the dump" "$(said dump_kernel)" "^6\."
	expect "last words" "$(said done)" bus_kdump
	expect "failures" "$(said fail)" ""
	finish
}

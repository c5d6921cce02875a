# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Boot, data, reboot, kexec, crash.

expect_storage() { # cpus
	expect "VMBus" "$(said vmbus)" "Vmbus version:5.3"
	expect "hypervisor" "$(said hypervisor)" "Hypervisor detected: Microsoft Hyper-V"
	expect "VPs" "$(said cpus)" "$1"
	expect "disk size" "$(said disk_bytes)" $((128 << 20))
	expect "disk model" "$(said disk_model)" "Msft Virtual Disk"
	expect "disk serial" "$(said disk_serial)" "ENLITE0001"
	expect "disk cache" "$(said disk_cache)" "write back"
	expect "channels" "$(said channels)" "$1"
	expect "mkfs" "$(said mkfs)" 0
	expect "data after remount" "$(said remount)" 0
	expect "fsck" "$(said fsck)" 0
}

test_io() { # flavour cpus
	begin "vm/$1, $2 VP: disk, fio verify, ext4, power off"
	new_disk "$work/disk.img" 128M
	boot_guest "$1" "$2" io
	expect "exit status" "$status" 0
	expect_storage "$2"
	expect "fio verify" "$(said fio_verify)" 0
	expect "last words" "$(said done)" io
	expect_quiet
	finish
}

test_reboot() { # flavour cpus
	begin "vm/$1, $2 VP: reboot once"
	new_disk "$work/disk.img" 128M
	boot_guest "$1" "$2" reboot
	expect "exit status" "$status" 0
	expect_match "first boot" "$(said first_boot)" "^6\."
	expect "second boot" "$(said second_boot)" "$(said first_boot)"
	expect_quiet
	finish
}

test_no_reboot() { # flavour cpus
	begin "vm/$1, $2 VP: a reset with --no-reboot ends with status 32"
	new_disk "$work/disk.img" 128M
	boot_guest "$1" "$2" reboot --no-reboot
	expect "exit status" "$status" 32
	finish
}

# By each way a command line can choose: BIOS (the reset vector), EFI (there is none, so the same),
# keyboard controller, ACPI, triple fault.
test_reboot_by() { # flavour cpus way...
	local way common=$BOOT_ARGS
	local BOOT_ARGS
	for way in "${@:3}"; do
		begin "vm/$1, $2 VP: a reset by reboot=$way"
		new_disk "$work/disk.img" 16M
		BOOT_ARGS="$common reboot=$way"
		boot_guest "$1" "$2" reboot --no-reboot
		expect "exit status" "$status" "$([ "$way" = t ] && echo 33 || echo 32)"
		expect_match "first boot" "$(said first_boot)" "^6\."
		finish
	done
}

# As the man page says of guests that do not use the hypervisor interface.
test_without_interface() { # flavour cpus
	local BOOT_ARGS=$BOOT_ARGS khz
	begin "vm/$1, $2 VP: a guest that does not use the hypervisor interface"
	khz=$(dmesg | sed -n 's/.*tsc: Detected \([0-9]*\)\.\([0-9]*\) MHz.*/\1\2/p' | head -n 1)
	new_disk "$work/disk.img" 16M
	BOOT_ARGS="$BOOT_ARGS nopv tsc_early_khz=$khz"
	boot_guest "$1" "$2" boot
	expect "exit status" "$status" 0
	expect "last words" "$(said done)" boot
	finish
}

test_kexec() { # flavour cpus
	begin "vm/$1, $2 VP: kexec once"
	new_disk "$work/disk.img" 128M
	boot_guest "$1" "$2" kexec
	expect "exit status" "$status" 0
	expect "kexec load" "$(said kexec_load)" 0
	expect_match "kexec'ed kernel" "$(said kexec_booted)" "^6\."
	expect_storage "$2"
	expect_quiet
	finish
}

test_crash() { # flavour cpus
	begin "vm/$1, $2 VP: a guest crash is reported with its text"
	new_disk "$work/disk.img" 128M
	boot_guest "$1" "$2" crash
	expect "exit status" "$status" 34
	expect_match "report" "$(cat "$errors")" "sysrq triggered crash"
	finish
}

# SPDX-License-Identifier: MIT
# What all jobs of a test guest use. Sourced by init (busybox sh).

say() { echo "@$*"; }

command_line() { # name; prints the value of enlite.NAME=
	sed -n "s/.*enlite\.$1=\([^ ]*\).*/\1/p" /proc/cmdline
}

set_variables() { # KEY=VALUE,...
	for pair in $(echo "$1" | tr , ' '); do
		eval "${pair%%=*}='${pair#*=}'"
	done
}

# ---- drivers -----------------------------------------------------------------

# Ours in place of the kernel's, on the kernel's bus or on ours; or the kernel's own.
load_drivers() { # "ours" or ""
	if [ "$1" != ours ]; then
		/lib/load-modules
		return
	fi
	if our_bus; then unwanted='/hv_'; else unwanted='/hv_(storvsc|netvsc)'; fi
	grep -vE "$unwanted" /lib/load-modules >/tmp/load-modules
	sh /tmp/load-modules
	load_ours
}

our_bus() { [ "$(command_line bus)" = ours ]; }

# In the order in which they are loaded. A guest without disks may be without storvsc.
our_modules() {
	if our_bus; then echo winhv vsc vmbus_vsc; else echo vsc vsc_hv; fi
	[ ! -e /lib/ours/storvsc.ko ] || echo storvsc
}

load_ours() {
	for module in $(our_modules); do
		insmod "/lib/ours/$module.ko" || say fail "insmod $module"
	done
}

unload_ours() {
	for module in $(our_modules | tr ' ' '\n' | tac); do
		rmmod "$module" || return
	done
}

our_drivers() { [ "$(command_line drivers)" = ours ]; }

# Their names on the bus.
storage_driver() { if our_drivers; then echo storvsc; else echo hv_storvsc; fi; }
nic_driver() { if our_drivers; then echo netvsc; else echo hv_netvsc; fi; }

# Is it there already, nothing happens.
load_nic_driver() {
	if our_drivers; then
		insmod /lib/ours/netvsc.ko 2>/dev/null
	else
		load hv_netvsc
	fi
}

# ---- checks: one line each, which becomes one TAP line -----------------------

ok() { # name
	say ok "$1"
}

not_ok() { # name, why
	say not_ok "$1: $(echo "$2" | tr '\n' ';')"
}

is() { # name, actual, wanted
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "'$2', want '$3'"; fi
}

# Runs a command of the tools disk. All patterns must be found in what it prints, and the status must
# be right (after "-s STATUS"; default 0).
check() { # name [-s status] "command" [pattern...]
	name=$1
	wanted=0
	[ "$2" = -s ] && wanted=$3 && shift 2
	command=$2
	shift 2
	# shellcheck disable=SC2086 # a command with its arguments
	output=$(with_tools $command 2>&1 </dev/null)
	status=$?
	[ $status = "$wanted" ] || { not_ok "$name" "status $status of '$command', want $wanted: $output"; return 1; }
	for pattern; do
		echo "$output" | grep -qE -- "$pattern" ||
			{ not_ok "$name" "'$command' does not say '$pattern' but: $output"; return 1; }
	done
	ok "$name"
}

# ---- the host acts when the guest says so ------------------------------------

# Waits until the host side has done its part; $answer is what it typed.
checkpoint() { # name [arguments...]
	say checkpoint "$@"
	read -r answer </dev/console
}

# ---- waiting for an event, bounded -------------------------------------------

wait_until() { # what, command...
	what=$1
	shift
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 6000 ] || { say fail "$what: waited in vain"; return 1; }
		usleep 50000
	done
}

wait_for() { wait_until "$1 appears" test -e "$1"; }
wait_gone() { wait_until "$1 goes" test ! -e "$1"; }

# ---- disks -------------------------------------------------------------------

scsi_of_lun() { # lun; prints 0:0:0:LUN of the first controller
	echo "0:0:0:$1"
}

disk_of_lun() { # lun
	for link in "/sys/class/scsi_device/$(scsi_of_lun "$1")"/device/block/*; do
		[ -e "$link" ] && basename "$link"
	done
}

wait_for_lun() { # lun
	wait_for "/sys/class/scsi_device/$(scsi_of_lun "$1")/device/block" &&
		wait_for "/dev/$(disk_of_lun "$1")"
}

with_tools() { chroot /tools "$@"; }

# Discovery is asynchronous: a disk is there when udev-like users would see it.
find_disks() {
	wait_for_lun 0 && wait_for_lun 1 || return 1
	disk=$(disk_of_lun 0)
	tools=$(disk_of_lun 1)
	mount -t ext4 -o ro,noload "/dev/$tools" /tools || { say fail "tools disk"; return 1; }
	for d in dev proc sys; do mount --bind /$d /tools/$d; done
	mount -t tmpfs tmp /tools/tmp
	mount -t tmpfs run /tools/run
}

# ---- verified I/O in the background, until it is stopped ---------------------

# Short runs, one after the other, for as long as there is /tmp/busy.
keep_busy() { # disk or file, as the tools see it; fio's engine
	while [ -e /tmp/busy ]; do
		with_tools fio --name=busy --filename="$1" --ioengine="$2" --direct=1 --rw=randwrite \
			--bs=4k-64k --iodepth=16 --size=4M --verify=crc32c --verify_state_save=0 --verify_fatal=1 \
			--do_verify=1 --randrepeat=0 >/tmp/busy.out 2>&1 || return
	done
}

start_busy() { # disk
	start_busy_with "/dev/$1" io_uring
}

start_busy_with() { # disk or file, engine
	touch /tmp/busy
	keep_busy "$@" &
	busy=$!
}

still_busy() { [ -d /proc/$busy ]; }

stop_busy() { # name of the check
	still_busy || not_ok "$1: ended early" "$(head -n 2 /tmp/busy.out)"
	rm /tmp/busy
	wait $busy
	is "$1" $? 0
}

# ---- modules of the tools disk -----------------------------------------------

module_depends() { # name
	tr '\0' '\n' <"/tools/lib/modules/$1.ko" | sed -n 's/^depends=//p' | tr ',-' ' _'
}

load() { # name
	[ -e "/tools/lib/modules/$1.ko" ] || return 0 # in the kernel
	for needed in $(module_depends "$1"); do
		(load "$needed")
	done
	insmod "/tools/lib/modules/$1.ko" 2>/dev/null
}

# ---- reports -----------------------------------------------------------------

describe() {
	say vmbus "$(dmesg | sed -n 's/.*\(Vmbus version:.*\)/\1/p')"
	say hypervisor "$(dmesg | sed -n 's/.*\(Hypervisor detected:.*\)/\1/p' | head -n 1)"
	say offers "$(ls /sys/bus/vmbus/devices | wc -l)"
	say cpus "$(nproc)"
	say disk_bytes "$(($(cat /sys/block/$disk/size) * 512))"
	say disk_model "$(cat /sys/block/$disk/device/vendor | tr -d ' ') $(cat /sys/block/$disk/device/model | sed 's/ *$//')"
	say disk_serial "$(dd if=/sys/block/$disk/device/vpd_pg80 bs=1 skip=4 2>/dev/null)"
	say disk_cache "$(cat /sys/block/$disk/queue/write_cache)"
	controller=$(dirname "$(readlink -f /sys/block/$disk/device/../..)")
	say driver "$(basename "$(readlink "$controller/driver")")"
	say channels "$(ls -d "$controller"/driver/*/channels/* 2>/dev/null | wc -l)"
	say clocksource "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
}

# Warnings and errors: each may be a regression.
dmesg_findings() {
	dmesg | grep -E 'WARNING:|BUG:|Call Trace|(hv_[a-z]+|vsc|vsc_hv|winhv|vmbus_vsc|storvsc|netvsc)[ :].*([Ee]rror|fail|timed? ?out)|I/O error|timed out|blocked for more' |
		grep -vE 'clocksource: .*marking|module verification failed' | head -n 5 | while read -r line; do
		say dmesg "$line"
	done
}

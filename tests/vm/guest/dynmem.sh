# SPDX-License-Identifier: MIT
# Guest side: memory that comes and goes under pressure, while data on a disk and in memory is verified.

load_balloon() {
	load hv_balloon
	wait_until "the dynamic memory protocol" balloon_is_ready
	is "protocol" "$(dmesg | sed -n 's/.*Using Dynamic Memory protocol version //p' | tail -n 1)" 2.0
}

balloon_is_ready() { dmesg | grep -q "Using Dynamic Memory protocol"; }

mem_mib() { # MemTotal|MemFree|MemAvailable
	echo $(($(sed -n "s/^$1: *\([0-9]*\) kB/\1/p" /proc/meminfo) / 1024))
}

# What is in memory: numbers that no other place has. Checked after each change.
keep_data() {
	mkdir -p /kept && mount -t tmpfs -o size=100% kept /kept
	i=0
	while [ $i -lt 8 ]; do
		dd if=/dev/urandom of=/kept/$i bs=1M count=1 2>/dev/null
		i=$((i + 1))
	done
	cat /kept/* | sha256sum >/tmp/kept.sum
}

data_is_kept() { [ "$(cat /kept/* | sha256sum)" = "$(cat /tmp/kept.sum)" ]; }

# Everything that is free is used once, but for what the kernel wants to have.
fill_memory() {
	mkdir -p /filled && mount -t tmpfs -o size=200% filled /filled
	i=0
	echo 3 >/proc/sys/vm/drop_caches
	while [ "$(mem_mib MemFree)" -gt 20 ] && [ $i -lt 4000 ]; do
		dd if=/dev/zero of=/filled/$i bs=1M count=$(($(mem_mib MemFree) > 80 ? 32 : 2)) 2>/dev/null || break
		i=$((i + 1))
	done
}

empty_memory() { umount /filled; }

job_dynmem() {
	find_disks || return
	load_balloon
	keep_data
	start_busy "$disk"
	checkpoint dm_begin
	for target in $(echo "$targets" | tr + ' '); do
		checkpoint dm_target "$target" "$(mem_mib MemTotal)"
		data_is_kept || not_ok "data after target $target" "changed"
		fill_memory
		checkpoint dm_filled "$target" "$(mem_mib MemTotal)"
		empty_memory
	done
	data_is_kept
	is "data in memory" $? 0
	stop_busy "fio verify"
	say mem_total "$(mem_mib MemTotal)"
	checkpoint dm_end
	dmesg_findings
}

# The next kernel, after a reset or by kexec, has all that the one before gave away.
job_dynmem_again() {
	find_disks || return
	checkpoint dm_again "$(mem_mib MemTotal)"
	next=$answer
	load_balloon
	[ "$next" != last ] || { fill_memory; checkpoint dm_filled all "$(mem_mib MemTotal)"; return; }
	checkpoint dm_take 300
	if [ "$next" = kexec ]; then
		with_tools kexec -c -l /boot/vmlinuz --initrd=/boot/initrd --command-line="$(cat /proc/cmdline)"
		with_tools kexec -e
	fi
	echo 1 >/proc/sys/kernel/sysrq
	echo b >/proc/sysrq-trigger
	sleep 60
}

# The driver goes and comes back with pages out.
job_dynmem_reload() {
	find_disks || return
	load_balloon
	checkpoint dm_take 320
	rmmod hv_balloon
	is "the driver goes" $? 0
	dmesg -c >/dev/null
	checkpoint dm_closed
	load_balloon
	checkpoint dm_reloaded
	fill_memory
	empty_memory
	ok "memory is usable"
}

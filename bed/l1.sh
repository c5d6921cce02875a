# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
#
# Sourced by up, down, run and status: everything about L1 as a process here.
#
# L1 is QEMU emulating everything in software, the CPU's virtualisation (SVM)
# included, so its kvm_amd is a full KVM wherever this runs.

tools=$build/bed
state=${BED_STATE:-$build/bed/l1}
thread=${BED_THREAD:-single}
idle=${BED_IDLE:-900}
boot_tries=3
boot_seconds=120
agent_sock=$state/agent.sock
monitor_sock=$state/monitor.sock
console=$state/console.log
l1_kernel=$kernels/6.1-amd64

# Serialises bed/run and bed/up: one job at a time, or measurements mean nothing.
# Descriptor 9 must not leak into anything that outlives us.
lock_bed()
{
	mkdir -p "$state"
	exec 9>"$state/lock"
	flock -n 9 && return
	say "waiting for another bed/run"
	flock 9
}

# A pid file proves nothing: the machine may have rebooted, the pid be another's.
# Our processes have our socket on their command line.  Prints the pid.
process_of() # PIDFILE SOCKET
{
	local pid
	pid=$(cat "$state/$1" 2>/dev/null) || return 1
	[ -n "$pid" ] || return 1
	tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$2" || return 1
	echo "$pid"
}

l1_pid()
{
	process_of l1.pid "$agent_sock"
}

watchdog_pid()
{
	process_of watchdog.pid "$monitor_sock"
}

l1_ping() # SECONDS
{
	"$tools/client" --timeout "$1" --ping "$agent_sock"
}

# L1 has nothing to lose, so there is nothing to shut down.
l1_kill()
{
	local pid which
	for which in l1_pid watchdog_pid; do
		pid=$("$which") || continue
		kill -KILL "$pid" 2>/dev/null || true
		while "$which" >/dev/null; do
			sleep 0.02
		done
	done
	rm -f "$state"/*.pid "$state"/*.sock "$state/verdict"
}

# vmlinux: unpacking the xz of vmlinuz takes three times as long as booting it.
# tsc=reliable: or L1 falls back to the HPET and each reading of a clock is an MMIO.
# tsc_early_khz: see bed/tsc.c.
# norandmaps: QEMU keeps translated code by virtual address, so a library that is
# always in one place is translated once; halves the time to start a program.
# enlite.idle: seconds without a job after which the agent ends L1.
# no-reboot with panic=-1: an L1 that dies is a QEMU that ends.
# vmrun-fix: see bed/vmrun-fix.c.
# thread=single, unless asked: with a thread for each CPU, QEMU's SVM loses the state of a guest's
# CPU now and then. Seen with 10.0.2 on a busy machine: without vmrun-fix, 1 of 16 boots ended in a
# triple fault and one took L1 with it; with it, 55 of 55 with 1 and 2 VPs and 19 of 20 with 4.
l1_start()
{
	LD_PRELOAD="$tools/vmrun-fix.so" "$qemu_dir/bin/qemu-system-x86_64" -name "enlite bed" -nodefaults -no-user-config \
		-display none -no-reboot \
		-accel "tcg,thread=$thread" -smp 2 -cpu max -m "${BED_MEMORY:-6144}" \
		-kernel "$l1_kernel/vmlinux" -initrd "$tools/l1.cpio" \
		-append "console=ttyS0 panic=-1 mitigations=off tsc=reliable tsc_early_khz=$("$tools/tsc") no_timer_check norandmaps quiet enlite.idle=$idle" \
		-fsdev local,id=host,path=/,security_model=none,multidevs=remap \
		-device virtio-9p-pci,fsdev=host,mount_tag=host \
		-fsdev "local,id=modules,path=$l1_kernel/lib/modules,security_model=none,readonly=on" \
		-device virtio-9p-pci,fsdev=modules,mount_tag=modules \
		-device virtio-serial-pci \
		-chardev "socket,id=agent,path=$agent_sock,server=on,wait=off" \
		-device virtserialport,nr=1,chardev=agent,name=enlite.bed \
		-monitor "unix:$monitor_sock,server=on,wait=off" \
		-serial "file:$console" \
		-daemonize -pidfile "$state/l1.pid" 9>&-
	echo "$thread" >"$state/thread"
	echo "$idle" >"$state/idle"
	setsid "$tools/watchdog" "$monitor_sock" </dev/null >/dev/null 2>&1 9>&- &
	echo $! >"$state/watchdog.pid"
}

boot()
{
	local try
	for ((try = 1; try <= boot_tries; try++)); do
		l1_kill
		l1_start || die "QEMU does not start"
		release=$(l1_ping "$boot_seconds") && return
		say "boot $try of $boot_tries failed, the console says:"
		tail -n 5 "$console" >&2 || true
	done
	l1_kill
	die "giving up; see $console"
}

need_programs()
{
	local program
	for program in cpio make "${CC:-cc}"; do
		command -v "$program" >/dev/null || die "$program is missing"
	done
	[[ $idle =~ ^[0-9]{1,6}$ ]] || die "BED_IDLE='$idle': want seconds, 0 for ever"
	[[ $thread =~ ^(single|multi)$ ]] || die "BED_THREAD='$thread': want single or multi"
	# What a socket's address has room for.
	[ ${#monitor_sock} -lt 108 ] || die "$state: too long a path for a socket, set BED_STATE"
}

# Running, and of this very build.  Whether it answers, a client finds out.
is_up()
{
	l1_pid >/dev/null || return 1
	[ ! "$tools/l1.cpio" -nt "$state/l1.pid" ] || {
		say "L1 is older than bed/ itself: booting anew"
		return 1
	}
	[ "$(cat "$state/thread" 2>/dev/null)" = "$thread" ] || {
		say "L1 is not of BED_THREAD=$thread: booting anew"
		return 1
	}
	watchdog_pid >/dev/null
}

# For those who leave L1 up: a line on standard output, nothing when it is down.
l1_notice()
{
	local idle
	l1_pid >/dev/null || return 0
	idle=$(cat "$state/idle")
	if [ "$idle" -gt 0 ]; then
		echo "the bed stays up, ends after $((idle / 60)) idle minutes; \`bed/down\` ends it now"
	else
		echo "the bed stays up; \`bed/down\` ends it"
	fi
}

# For a caller who holds the lock.
l1_up()
{
	need_programs
	# Beds differ (BED_STATE), their tools do not.
	mkdir -p "$tools"
	flock "$tools/lock" env -u MAKEFLAGS -u MAKELEVEL make -s -C "$root" -f bed/Makefile 9>&-
	if ! is_up; then
		SECONDS=0
		boot
		say "L1 is up after $SECONDS s (Linux $release)"
	fi
}

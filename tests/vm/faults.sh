# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Disks that fail, hang, or go away for a while.

lun_errors() { # lun
	ctl stats --json | jq ".devices[].luns[]? | select(.lun == $1) | .errors"
}

injected() { grep -c ' EIO$' "$work/bad.log"; }

# Nothing is in flight now; the log is written by a thread of its own, which may be behind.
checkpoint_before_errors() {
	local tries=0
	lun_errors 2 >"$work/errors_before"
	until [ "$(injected)" -ge "$(cat "$work/errors_before")" ] || [ $((tries += 1)) -gt 600 ]; do sleep 0.1; done
	injected >"$work/injected_before"
}
checkpoint_after_errors() { lun_errors 2 >"$work/errors_after"; }

test_errors() { # flavour cpus
	local errors_of_host injected_by_filter
	begin "vm/$1, $2 VP: 1 % of reads fail"
	new_disk "$work/disk.img" 128M
	new_disk "$work/bad.img" 64M
	rm -f "$work/bad.log"
	guest_set="passes=$(by_length 2 80)"
	guest_timeout=$(by_length 600 2700)
	boot_guest "$1" "$2" errors --disk "$work/bad.img,error=1%:read:EIO,log=$work/bad.log"
	errors_of_host=$(($(cat "$work/errors_after") - $(cat "$work/errors_before")))
	injected_by_filter=$(($(injected) - $(cat "$work/injected_before")))
	expect "exit status" "$status" 0
	expect "last words" "$(said done)" errors
	expect_true "some errors of $(said fio_reads) reads" test "$injected_by_filter" -gt 0
	expect "errors in the LUN's statistics" "$errors_of_host" "$injected_by_filter"
	expect "errors seen by the guest's SCSI layer" "$(said scsi_errors)" "$injected_by_filter"
	expect "errors seen by fio" "$(said fio_errors)" "$injected_by_filter"
	expect "wrong data" "$(said mismatches)" 0
	test_name="$test_name: $injected_by_filter of $(said fio_reads) reads"
	finish
}

test_stuck() { # flavour cpus
	begin "vm/$1, $2 VP: a LUN that hangs beside a good one"
	local seconds
	seconds=$(by_length 60 200)
	new_disk "$work/disk.img" 128M
	guest_timeout=600
	boot_guest "$1" "$2" stuck --disk "memory:64M,delay=${seconds}s:write"
	expect_good_end stuck
	expect "hanging writes" "$(said in_flight)" 8
	expect "writes in the end" "$(said stuck_writes)" 8
	expect_true "p99 beside it ($(said beside) us) is within twice the baseline ($(said baseline) us)" \
		test "$(said beside)" -le $((2 * $(said baseline)))
	finish
}

# SIGKILL: nothing is said, nothing is flushed, and the next one starts at once.
checkpoint_kill_server() {
	kill -KILL "$(cat "$work/nbd.pid")"
	start_kill_target
}

start_kill_target() {
	rm -f "$work/nbd.sock" "$work/nbd.pid"
	nbdkit --unix "$work/nbd.sock" --pidfile "$work/nbd.pid" file "$work/nbd.img" >&2 7<&- 8>&-
}

test_nbd_kill() { # flavour cpus
	local kills
	kills=$(by_length 3 100)
	begin "vm/$1, $2 VP: the NBD server is killed $kills times"
	new_disk "$work/disk.img" 128M
	new_disk "$work/nbd.img" 64M
	start_kill_target
	guest_set="kills=$kills"
	guest_timeout=$(by_length 600 2400)
	boot_guest "$1" "$2" nbd_kill --disk "nbd+unix:///?socket=$work/nbd.sock"
	kill "$(cat "$work/nbd.pid")" 2>/dev/null
	expect "exit status" "$status" 0
	expect "last words" "$(said done)" nbd_kill
	expect "kills" "$(said killed)" "$kills"
	finish
}

test_no_space() { # flavour cpus
	begin "vm/$1, $2 VP: no space left"
	mkdir -p "$work/small"
	mount -t tmpfs -o size=16M small "$work/small" || {
		echo "ok - $test_name # SKIP cannot mount a small tmpfs"
		return
	}
	new_disk "$work/disk.img" 128M
	new_disk "$work/small/thin.img" 64M
	boot_guest "$1" "$2" no_space --disk "$work/small/thin.img"
	umount "$work/small"
	expect_good_end no_space
	finish
}
